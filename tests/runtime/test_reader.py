"""Damaged, truncated, newer and hostile files: one clear ModelError each, and never a crash."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import numpy as np
import pytest

from bitwright.runtime import ModelError, Session

from . import builder as b
from .builder import NONE, Builder, Geometry

FLOATS = np.arange(8, dtype=np.float32)


def model() -> Builder:
    """Every opcode and most steps: input [N,4,4,40] -> two outputs; and an embedding."""
    m = Builder(meta={"producer": "test"})
    x = m.value("f32", (1, 4, 4, 40), role="input", name="x", axes=(4, 2, 3))
    bits = m.value("bits", (1, 4, 4, 40), 1)
    conv = m.value("f32", (1, 4, 4, 8), name="conv")
    next_bits = m.value("bits", (1, 4, 4, 8), 2)
    pooled = m.value("f32", (1, 2, 2, 8))
    wide = m.value("f32", (1, 2, 2, 16))
    y = m.value("f32", (1, 1, 1, 5), role="output", name="y", axes=(4,))
    ids = m.value("i32", (1, 1, 3, 1), role="input", name="ids", axes=(3,))
    rows = m.value("f32", (1, 1, 3, 8), role="output", name="rows", axes=(3, 4))
    out_bits = m.value("bits", (1, 4, 4, 8))
    random = np.random.default_rng(0)
    same = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    grouped = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), groups=2, pad_mode=3)
    weight = m.constant(b.pack(random.random((8, 9, 40)) < 0.5))
    m.map(x, [b.store_bits(bits, m.constant(np.zeros(40, np.float32)))])
    m.bconv(
        bits,
        weight,
        8,
        (1, 4, 4),
        same,
        [b.affine(m.constant(FLOATS), m.constant(FLOATS)), b.prelu(p0=0.25), b.store(conv), b.store_bits(next_bits)],
    )
    flip = m.constant(b.pack(np.ones(8, bool)))
    m.bconv(
        next_bits,
        m.constant(b.pack(random.random((8, 9, 4)) < 0.5)),
        8,
        (1, 4, 4),
        grouped,
        [b.threshold(out_bits, m.constant(np.zeros(8, np.int32)), flip)],
    )
    m.pool(conv, 1, (1, 2, 2), Geometry((1, 2, 2), (1, 2, 2)), [b.clamp(-3, 3), b.store(pooled)])
    m.copy(pooled, wide, (0, 0, 0, 0), (1, 1, 1, 1), (1, 2, 2, 8), 0)
    m.copy(pooled, wide, (0, 0, 0, 0), (1, 1, 1, 1), (1, 2, 2, 8), 8)
    m.fconv(
        wide, m.constant(random.random((5, 4, 16)).astype(np.float32)), 5, (1, 1, 1), Geometry((1, 2, 2)), [b.store(y)]
    )
    m.embed(ids, m.constant(b.pack(random.random((6, 8)) < 0.5)), 6, 8, [b.store(rows)])
    return m


GOOD = model().file()


def error(data: bytes) -> str:
    with pytest.raises(ModelError) as info:
        Session(data)
    return str(info.value)


def test_the_good_file_runs() -> None:
    session = Session(GOOD)
    y, rows = session.run(np.ones((2, 40, 4, 4), np.float32), np.zeros((2, 3), np.int32))
    assert y.shape == (2, 5)
    assert rows.shape == (2, 3, 8)
    assert session.meta == {"producer": "test"}


def test_not_a_model() -> None:
    assert error(b"") == "not a .bwm file: it is empty"
    assert "not a .bwm file" in error(b"PK\x03\x04" + bytes(200))
    assert "text mode" in error(b.MAGIC.replace(b"\r\n", b"\n") + bytes(200))


def test_truncated_everywhere() -> None:
    for size in range(0, len(GOOD), 8):
        message = error(GOOD[:size])
        if size >= 64:
            assert message == f"truncated: header says {len(GOOD)} bytes, the file has {size}"
    assert f"header says {len(GOOD)} bytes, the file has {len(GOOD) + 1}" in error(GOOD + b"\0")


def test_truncated_behind_a_corrected_header() -> None:
    """A cut at every section's begin and end, with size and checksums made to fit: only the bounds checks are left."""
    cuts = {64, 96, 223}
    for kind in range(5):
        offset, size = struct.unpack_from("<2Q", GOOD, 64 + 32 * kind + 8)
        cuts |= {offset, offset + 1, offset + size - 1, offset + size // 2}
    for cut in cuts:
        data = bytearray(GOOD[:cut])
        struct.pack_into("<Q", data, 16, cut)
        error(b.seal(data))


def test_a_newer_version() -> None:
    data = bytearray(GOOD)
    struct.pack_into("<2H", data, 8, 1, 3)
    assert error(b.seal(data)) == "written by a newer bitwright (version 1.3; this engine reads 1.1)"
    struct.pack_into("<2H", data, 8, 2, 0)
    assert error(b.seal(data)) == "written by a newer bitwright (version 2.0; this engine reads 1.1)"
    struct.pack_into("<2H", data, 8, 0, 9)
    assert "version 0.9 of the format is not supported" in error(b.seal(data))


def test_every_flipped_byte_is_found() -> None:
    for at in range(len(GOOD)):
        data = bytearray(GOOD)
        data[at] ^= 1 << (at % 8)
        error(bytes(data))


# (what, change to the model's parts, expected words)
Change = Callable[[Builder], object]


def set_u32(op: int, word: int, value: int) -> Change:
    """Changes the u32 at 4*word of an op."""

    def change(m: Builder) -> None:
        data = bytearray(m.ops[op])
        struct.pack_into("<I", data, 4 * word, value)
        m.ops[op] = bytes(data)

    return change


def set_value(value: int, **fields: object) -> Change:
    def change(m: Builder) -> None:
        for name, x in fields.items():
            setattr(m.values[value], name, x)

    return change


MAP, CONV, GROUPED, POOL, COPY, COPY2, DENSE, EMBED = range(8)
G = 12  # word of a BCONV's geometry
HOSTILE: list[tuple[str, Change, str]] = [
    ("opcode", set_u32(MAP, 0, 77), "op 0: opcode 77, known are 1 to "),
    ("op size", set_u32(MAP, 1, 0xFFFFFFF8), "op 0 (MAP): size 4294967288"),
    ("op size 0", set_u32(MAP, 1, 0), "op 0 (MAP): size 0"),
    ("steps", set_u32(CONV, 2, 2**31), "op 1 (BCONV): 2147483648 steps need"),
    ("op name", set_u32(CONV, 3, 10**6), "op 1 (BCONV): name offset 1000000"),
    ("input id", set_u32(CONV, 4, 99), "op 1 (BCONV): input value id 99, the file has 10"),
    ("input dtype", set_u32(CONV, 4, 0), "op 1 (BCONV): input value 0 has dtype f32, bits is expected"),
    ("weight id", set_u32(CONV, 5, 99), "op 1 (BCONV): weight constant id 99, the file has"),
    ("weight dtype", set_u32(CONV, 5, 1), "op 1 (BCONV): weight constant 1 has dtype f32, u32 is expected"),
    ("outputs", set_u32(CONV, 6, 9), "op 1 (BCONV): weight constant 0 has 144 elements, 162 are expected"),
    ("outputs 0", set_u32(CONV, 6, 0), "op 1 (BCONV): 0 output channels"),
    ("low", set_u32(CONV, 7, 2), "op 1 (BCONV): low 2"),
    ("out", set_u32(CONV, 9, 5), "op 1 (BCONV): output H is 5, its geometry gives 4"),
    ("reserved", set_u32(CONV, 11, 1), "op 1 (BCONV): a reserved field is not zero"),
    ("kernel 0", set_u32(CONV, G + 1, 0), "op 1 (BCONV): kernel 0"),
    ("kernel huge", set_u32(CONV, G + 1, 2**31), "op 1 (BCONV): number of taps exceeds the limit of 65536"),
    ("stride 0", set_u32(CONV, G + 4, 0), "stride 0"),
    ("dilation huge", set_u32(CONV, G + 7, 2**32 - 1), "op 1 (BCONV): the kernel spans 8589934591 in H"),
    ("pad huge", set_u32(CONV, G + 10, 2**32 - 1), "op 1 (BCONV): output H is 4, its geometry gives 4294967298"),
    ("groups 0", set_u32(CONV, G + 15, 0), "op 1 (BCONV): 0 groups do not divide"),
    ("groups 3", set_u32(CONV, G + 15, 3), "op 1 (BCONV): 3 groups do not divide"),
    ("groups of the input", set_u32(CONV, G + 15, 2), "op 1 (BCONV): 2 groups, but its input is packed in 1"),
    ("pad mode", set_u32(CONV, G + 16, 4), "op 1 (BCONV): pad_mode 4"),
    ("flags", set_u32(CONV, G + 17, 2), "op 1 (BCONV): geometry flags 2"),
    ("transposed with pad_end", set_u32(CONV, G + 17, 1), "op 1 (BCONV): pad_end 1 of a transposed convolution"),
    ("step kind", set_u32(CONV, 32, 99), "op 1 (BCONV), step 0: kind 99"),
    ("step constant", set_u32(CONV, 34, 99), "op 1 (BCONV), step 0 (AFFINE): factor constant id 99"),
    ("step unused", set_u32(CONV, 33, 0), "op 1 (BCONV), step 0 (AFFINE): field value is not used but not none"),
    (
        "store to bits",
        set_u32(CONV, 49, 1),
        "op 1 (BCONV), step 2 (STORE): step value 1 has dtype bits, f32 is expected",
    ),
    ("store elsewhere", set_u32(CONV, 49, 4), "op 1 (BCONV), step 2 (STORE): value 4 has 2 in H, 4 is expected"),
    (
        "store to ids",
        set_u32(EMBED, 11, 7),
        "op 7 (EMBED), step 0 (STORE): step value 7 has dtype i32, f32 is expected",
    ),
    (
        "threshold constant",
        set_u32(GROUPED, 34, 0),
        "op 2 (BCONV), step 0 (THRESHOLD): threshold constant 0 has dtype u32",
    ),
    ("pool kind", set_u32(POOL, 5, 0), "op 3 (POOL): pooling kind 0"),
    ("pool out", set_u32(POOL, 7, 3), "op 3 (POOL): output H is 3, its geometry gives 2"),
    ("pool pad", set_u32(POOL, 10 + 10, 7), "op 3 (POOL): output H is 2, its geometry gives 5 or 6"),
    ("pool window", set_u32(POOL, 10 + 4, 2**31), "op 3 (POOL): window 1 in H has no element inside the map"),
    ("copy box", set_u32(COPY, 6 + 3, 1), "op 4 (COPY): the box reaches index 8 in C, the input has 8"),
    ("copy step 0", set_u32(COPY, 10, 0), "op 4 (COPY): step 0"),
    ("copy count", set_u32(COPY, 14 + 1, 1), "op 4 (COPY): the box has 1 elements in H, the output 2"),
    ("copy channel", set_u32(COPY, 18, 9), "op 4 (COPY): channels 9 to 16 of an output with 16"),
    ("copy overlap", set_u32(COPY2, 18, 7), "op 4 (COPY): COPYs into value 5 overlap at channel 7"),
    ("copy itself", set_u32(COPY2, 4, 5), "op 5 (COPY): reads value 5 before it is written"),
    ("copy rest", set_u32(COPY2, 19, 1), "op 5 (COPY): zero_rest, but not the only COPY into value 5"),
    ("rows", set_u32(EMBED, 6, 2**31), "op 7 (EMBED): 2147483648 rows"),
    ("scale", set_u32(EMBED, 8, 77), "op 7 (EMBED): scale constant id 77"),
    ("missing copy", lambda m: m.ops.pop(COPY), "op 4 (COPY): no COPY fills channel 0 of value 5"),
    ("missing op", lambda m: m.ops.pop(MAP), "op 0 (BCONV): reads value 1 before it is written"),
    ("written twice", lambda m: m.ops.append(m.ops[EMBED]), "op 8 (EMBED): writes value 8, which op 7 (EMBED) wrote"),
    ("never written", lambda m: m.value("f32", (1, 1, 1, 1)), "value 10: no op writes it"),
    ("writes an input", lambda m: m.map(0, [b.store(0)]), "op 8 (MAP): writes value 0, a model input"),
    ("writes nothing", lambda m: m.map(0, [b.prelu()]), "op 8 (MAP): writes no value"),
    ("map of ids", lambda m: m.map(7, [b.prelu()]), "op 8 (MAP): input value 7 has dtype i32"),
    ("dim 0", set_value(2, dims=(1, 0, 4, 8)), "value 2: dimension H is 0"),
    ("huge dims", set_value(2, dims=(2**32 - 1,) * 3 + (2**20,)), "value 2: bytes of one sample exceeds the limit"),
    ("channels", set_value(2, dims=(1, 1, 1, 2**32 - 1)), "value 2: 4294967295 channels; the limit is 1048576"),
    ("value groups", set_value(3, groups=3), "value 3: 3 groups do not divide 8 channels"),
    ("value groups 0", set_value(3, groups=0), "value 3: 0 groups do not divide 8 channels"),
    ("float groups", set_value(2, groups=2), "value 2: 2 groups; only bits are packed in groups"),
    ("offset", set_value(2, offset=8), "value 2: arena offset 8 is not a multiple of 64"),
    ("offset beyond", set_value(2, offset=2**64 - 64), "value 2: arena offset 18446744073709551552"),
    ("overlap", set_value(1, offset=2496), "value 1: arena bytes 2496 to 2687 overlap those of value 0"),
    ("flags", set_value(2, flags=3), "value 2: flags 3"),
    (
        "no input",
        lambda m: [set_value(0, flags=0, axes=())(m), set_value(7, flags=0, axes=())(m)],
        "value 7: an i32 value",
    ),
    ("input and output", set_value(0, flags=2), "op 0 (MAP): reads value 0 before it is written"),
    ("bits output", set_value(9, flags=2, name="b", axes=(2, 3, 4)), "value 9: a model output of dtype bits"),
    ("no name", set_value(0, name=""), "value 0: a model input without a name"),
    ("same names", set_value(8, name="y"), "value 8: two model outputs have the name 'y'"),
    ("axis", set_value(0, axes=(4, 2, 5)), "value 0: external axis 5"),
    ("axis twice", set_value(0, axes=(4, 2, 2)), "value 0: external axis 2 is named twice"),
    ("axis missing", set_value(0, axes=(4, 2)), "value 0: dimension W is 4 but no external axis names it"),
    ("axes of a middle value", set_value(2, axes=(4, 2, 3)), "value 2: external axes of a value that is neither"),
    ("tail bits", lambda m: m.constants[0][1].__ior__(np.uint32(1 << 31)), "bits past channel 40 are set in row 0"),
]


@pytest.mark.parametrize(("change", "words"), [pytest.param(c, w, id=i) for i, c, w in HOSTILE])
def test_hostile_fields(change: Change, words: str) -> None:
    m = model()
    change(m)
    try:
        message = error(m.file())
    except struct.error:
        pytest.fail("the test wrote a field that does not fit")
    if words:
        assert words in message


def mutate(section: int, at: int, form: str, value: int) -> bytes:
    """A field inside a section, or of its entry in the section table (section < 0: entry -section - 1)."""
    data = bytearray(GOOD)
    base = 64 + 32 * (-section - 1) if section < 0 else struct.unpack_from("<Q", GOOD, 64 + 32 * section + 8)[0]
    struct.pack_into(form, data, base + at, value)
    return b.seal(data)


@pytest.mark.parametrize(
    ("section", "at", "form", "value", "words"),
    [
        (-1, 0, "<I", 9, "section 0 has kind 9, 1 (VALUES) is expected there"),
        (-1, 4, "<I", 2**32 - 1, "section VALUES: 4294967295 records; the limit is 1048576"),
        (-1, 4, "<I", 3, "section VALUES: 3 records need 192 bytes, the section has 640"),
        (-1, 8, "<Q", 2**64 - 64, "section VALUES: offset 18446744073709551552 and size 640 leave the file"),
        (-1, 8, "<Q", 257, "section VALUES: offset 257 is not a multiple of 64"),
        (-1, 8, "<Q", 64, "section VALUES: offset 64 lies before 224"),
        (-1, 16, "<Q", 2**64 - 1, "leave the file"),
        (-1, 24, "<Q", 1, "section VALUES: a reserved field is not zero"),
        (-2, 4, "<I", 7, "section OPS: its 7 ops have"),
        (-2, 4, "<I", 9, "op 8: 0 bytes are left in section OPS"),
        (-3, 4, "<I", 0, "section CONSTANTS: 0 records need 0 bytes"),
        (-4, 4, "<I", 1, "section DATA: count 1, 0 is expected"),
        (-5, 16, "<Q", 0, ""),
        (-5, 16, "<Q", 3, ""),
        (0, 0, "<I", 99, "value 0: dtype 99"),
        (0, 28, "<I", 10**9, "value 0: name offset 1000000000"),
        (0, 40, "<Q", 2624, "value 0: says 2624 bytes a sample, its shape needs 2560"),
        (0, 52, "<I", 1, "value 0: planes in a file of version 1.0"),
        (2, 0, "<I", 0, "constant 0: dtype 0"),
        (2, 8, "<Q", 0, "constant 0: has no elements"),
        (2, 8, "<Q", 2**62, "constant 0: 4611686018427387904 elements at offset 0 leave the data section"),
        (2, 16, "<Q", 2**64 - 64, "leave the data section"),
        (2, 16, "<Q", 4, "constant 0: offset 4 is not a multiple of 64"),
        (4, 0, "<I", 2**32 - 1, "section META: the JSON has 4294967295 bytes"),
        (4, 0, "<I", 1, "section META: the JSON is not an object"),
        (4, 5, "<B", 0xFF, "section META: the JSON is not UTF-8"),
        (4, 5, "<B", 0x5B, "section META: the JSON cannot be read"),
        (4, 24, "<I", 2**32 - 1, "section META: the string block has 4294967295 bytes"),
        (4, 24, "<I", 0, "section META: the string block has 0 bytes"),
        (4, 28, "<B", 65, "section META: the string block does not begin with the empty string"),
    ],
)
def test_hostile_structure(section: int, at: int, form: str, value: int, words: str) -> None:
    assert words in error(mutate(section, at, form, value))


def test_bytes_between_sections_are_zero() -> None:
    assert "the bytes before section VALUES are not zero" in error(mutate(-1, 224 - 64, "<I", 1))


def test_deep_json() -> None:
    text = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    block = struct.pack("<I", len(text)) + text
    block += bytes(b.align(len(block), 8) - len(block))
    m = model()
    *rest, (_, meta) = m.sections()
    old = struct.unpack_from("<I", meta)[0]
    strings = meta[b.align(4 + old, 8) :]
    assert "section META: the JSON cannot be read" in error(b.assemble([*rest, (0, block + strings)]))


def test_a_huge_table_is_refused_before_it_is_built() -> None:
    m = Builder()
    x = m.value("f32", (1, 4096, 4096, 1), role="input")
    bits = m.value("bits", (1, 4096, 4096, 1))
    y = m.value("bits", (1, 4096, 4096, 1))
    z = m.value("f32", (1, 4096, 4096, 1), role="output")
    m.map(x, [b.store_bits(bits)])
    g = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    weight = m.constant(np.zeros((1, 9, 1), np.uint32))
    m.bconv(bits, weight, 1, (1, 4096, 4096), g, [b.threshold(y, m.constant(np.zeros(1, np.int32)))])
    m.map(y, [b.store(z)])
    assert "op 1 (BCONV): output pixels * taps exceeds the limit of 67108864" in error(m.file())


def test_transposed_output_size_is_checked() -> None:
    for out, fine in ((1, True), (9, True), (10, False), (0, False)):
        m = Builder()
        x = m.value("f32", (1, 1, 4, 1), role="input")
        y = m.value("f32", (1, 1, max(out, 1), 1), role="output")
        # full output: 3*2 + 3 = 9; with an output padding of at most 1 and a crop of 1: 9
        g = Geometry((1, 1, 3), (1, 1, 2), pad_begin=(0, 0, 1), transposed=True)
        m.fconv(x, m.constant(np.ones(3, np.float32)), 1, (1, 1, out), g, [b.store(y)])
        if fine:
            Session(m.file())
        else:
            assert f"output W is {out}, its geometry allows 1 to 9" in error(m.file())


def test_unused_ids_are_none() -> None:
    m = Builder()
    x = m.value("f32", (1, 1, 1, 1), role="input")
    y = m.value("f32", (1, 1, 1, 1), role="output")
    m.map(x, [b.step(6, y, a=0)])
    m.constant(FLOATS[:1])
    assert "op 0 (MAP), step 0 (STORE): field a is not used but not none" in error(m.file())
    assert NONE == 0xFFFFFFFF


def bit_pool(**change: object) -> bytes:
    """A BPOOL of [2, 6, 6, 40] to [2, 3, 3, 40]."""
    how = {"channels": 40, "groups": 2, "out": (1, 3, 3), "geometry": {}, "flip": 2, **change}
    m = Builder()
    x = m.value("f32", (1, 6, 6, 40), role="input")
    bits = m.value("bits", (1, 6, 6, 40), 2)
    pooled = m.value("bits", (*how["out"], how["channels"]), how["groups"])  # type: ignore[misc]
    y = m.value("f32", (*how["out"], how["channels"]), role="output")  # type: ignore[misc]
    m.map(x, [b.store_bits(bits)])
    geometry = Geometry(**{"kernel": (1, 2, 2), "stride": (1, 2, 2), **how["geometry"]})  # type: ignore[dict-item]
    flip = m.constant(np.zeros(how["flip"], np.uint32))  # type: ignore[call-overload]
    m.bpool(x if how.get("from_floats") else bits, pooled, geometry, flip)
    m.map(pooled, [b.store(y)])
    return m.file()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels": 39, "groups": 3}, "the output has 39 channels in 3 groups, the input 40 in 2"),
        ({"groups": 1}, "the output has 40 channels in 1 groups, the input 40 in 2"),
        ({"out": (1, 3, 4)}, "op 1 (BPOOL): output W is 4, its geometry gives 3"),
        ({"flip": 3}, "flip constant 0 has 3 elements, 2 are expected"),
        ({"from_floats": True}, "op 1 (BPOOL): input value 0 has dtype f32, bits is expected"),
        ({"geometry": {"groups": 2}}, "op 1 (BPOOL): pooling has groups 1, pad_mode 0 and no flags"),
        ({"geometry": {"pad_mode": 2}}, "op 1 (BPOOL): pooling has groups 1, pad_mode 0 and no flags"),
        ({"geometry": {"kernel": (1, 0, 2)}}, "op 1 (BPOOL): kernel 0"),
        ({"geometry": {"pad_begin": (0, 2, 0)}}, "op 1 (BPOOL): output H is 3, its geometry gives 4"),
    ],
)
def test_hostile_bit_pooling(change: dict[str, object], words: str) -> None:
    Session(bit_pool())
    assert words in error(bit_pool(**change))


def test_a_huge_bit_pooling_table_is_refused() -> None:
    m = Builder()
    x = m.value("f32", (1, 2048, 2048, 1), role="input")
    bits, pooled = m.value("bits", (1, 2048, 2048, 1)), m.value("bits", (1, 2048, 2048, 1))
    y = m.value("f32", (1, 2048, 2048, 1), role="output")
    m.map(x, [b.store_bits(bits)])
    m.bpool(bits, pooled, Geometry((1, 7, 7), pad_begin=(0, 3, 3), pad_end=(0, 3, 3)))
    m.map(pooled, [b.store(y)])
    assert "op 1 (BPOOL): output pixels * taps exceeds the limit of 67108864" in error(m.file())


@pytest.mark.parametrize(
    ("shape", "tail", "words"),
    [
        ((5, 4, 1), 0, ""),
        ((5, 4, 1), 1 << 20, "weight constant 0: bits past channel 20 are set in row 0"),
        ((5, 4, 2), 0, "weight constant 0 has 40 elements, 20 are expected"),
    ],
)
def test_packed_float_weights(shape: tuple[int, ...], tail: int, words: str) -> None:
    m = Builder()
    x = m.value("f32", (1, 2, 2, 20), role="input")
    y = m.value("f32", (1, 1, 1, 5), role="output")
    m.fconv(x, m.constant(np.full(shape, tail, np.uint32)), 5, (1, 1, 1), Geometry((1, 2, 2)), [b.store(y)])
    if words:
        assert words in error(m.file())
    else:
        Session(m.file())


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(0, 4), (4, 4)], "op 0 (COPY): no COPY fills channel 8 of value 1"),
        ([(0, 4), (4, 4), (8, 3)], "op 0 (COPY): no COPY fills channel 11 of value 1"),
        ([(0, 4), (4, 4), (4, 4), (8, 4)], "op 0 (COPY): COPYs into value 1 overlap at channel 4"),
        ([(0, 4), (4, 4), (9, 4)], "op 2 (COPY): channels 9 to 12 of an output with 12"),
        ([(0, 4), (3, 2), (4, 4), (8, 4)], "op 1 (COPY): channels 3 to 4 lie in two pixels of 4 channels"),
        ([(2**32 - 1, 2), (0, 4), (4, 4)], "op 0 (COPY): channels 4294967295 to 4294967296 of an output with 12"),
    ],
)
def test_boxes_of_one_pixel_fill_the_map(boxes: list[tuple[int, int]], message: str) -> None:
    m = Builder(minor=1)
    x = m.value("f32", (1, 1, 1, 4), role="input", name="x", axes=(4,))
    y = m.value("f32", (1, 1, 3, 4), role="output", name="y", axes=(3, 4))
    for at, width in boxes:
        m.copy(x, y, (0, 0, 0, 0), (1, 1, 1, 1), (1, 1, 1, width), at)
    with pytest.raises(ModelError, match=re.escape(message)):
        Session(m.file())


def test_boxes_of_one_pixel_need_version_1_1_and_their_like() -> None:
    def model(minor: int, mixed: bool) -> bytes:
        m = Builder(minor=minor)
        x = m.value("f32", (1, 1, 2, 4), role="input", name="x", axes=(3, 4))
        y = m.value("f32", (1, 1, 2, 4), role="output", name="y", axes=(3, 4))
        m.copy(x, y, (0, 0, 0, 0), (1, 1, 1, 1), (1, 1, 1, 4), 0)
        m.copy(x, y, (0, 0, 0, 0), (1, 1, 1, 1), (1, 1, 2 if mixed else 1, 4), 0 if mixed else 4)
        return m.file()

    Session(model(1, False))
    with pytest.raises(ModelError, match="the box has 1 elements in W, the output 2"):
        Session(model(0, False))
    with pytest.raises(ModelError, match="a box of one pixel beside one of the whole map"):
        Session(model(1, True))
