"""QCONV, u8 values and STORE_U8: the engine against numpy in int64, on every kernel of this machine; no tolerance."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.runtime import InputError, ModelError, Session

from . import builder as b
from .builder import Builder, Geometry
from .reference import Array, conv, pool
from .strategies import ISAS, Case, cases

EXAMPLES = settings(max_examples=120, deadline=None)


def quantize(x: Array, factor: float, zero: int) -> Array:
    """STORE_U8."""
    q = np.rint(x.astype(np.float32) * np.float32(factor))
    return np.clip(np.where(np.isnan(q), 0, q) + zero, 0, 255).astype(np.uint8)


def int8_numbers(case: Case) -> tuple[Array, Array, int, Array]:
    """Pixels, weights, zero point, and the exact accumulators."""
    random = case.random()
    extreme = case.seed % 3 == 0
    shape = (case.batch, *case.size, case.channels)
    x = (random.integers(0, 2, shape) * 255 if extreme else random.integers(0, 256, shape)).astype(np.uint8)
    taps = int(np.prod(case.geometry.kernel))
    shape = (case.outputs, taps, case.channels // case.geometry.groups)
    weight = (random.integers(0, 2, shape) * 255 - 128 if extreme else random.integers(-128, 128, shape)).astype(
        np.int8
    )
    zero = int(random.integers(0, 256))
    return x, weight, zero, conv(x.astype(np.int64) - zero, weight, case.out, case.geometry)


@EXAMPLES
@given(cases(binary=False))
def test_accumulators_are_exact(case: Case) -> None:
    x, weight, zero, expected = int8_numbers(case)
    m = Builder()
    dims = (*case.out, case.outputs)
    source = m.value("u8", (*case.size, case.channels), role="input", scale=0.5, zero=zero)
    y, z = m.value("f32", dims, role="output"), m.value("f32", dims, role="output")
    bits = m.value("bits", dims, case.geometry.groups)
    steps = [b.store(y), b.store_bits(bits, p0=3.0)]
    m.qconv(source, m.constant(weight), case.outputs, case.out, case.geometry, steps)
    m.map(bits, [b.store(z)])
    got_y, got_z = Session(m.file(), case.threads, case.isa).run(x)
    np.testing.assert_array_equal(got_y, expected)
    np.testing.assert_array_equal(got_z, np.where(expected >= 3, 1.0, -1.0))


@st.composite
def depthwise(draw: Any) -> Case:
    case: Case = draw(cases(binary=False))
    case.channels = case.outputs = case.geometry.groups = draw(st.integers(2, 150))
    return case


@EXAMPLES
@given(depthwise())
def test_depthwise(case: Case) -> None:
    """int8, float (small integers: every order of summation gives the same) and 1-bit weights."""
    x, weight, zero, expected = int8_numbers(case)
    small = weight // 16
    m = Builder()
    dims = (*case.out, case.outputs)
    source = m.value("u8", (*case.size, case.channels), role="input", scale=0.5, zero=zero)
    floats = m.value("f32", (*case.size, case.channels), role="input")
    outputs = [m.value("f32", dims, role="output") for _ in range(3)]
    m.qconv(source, m.constant(weight), case.outputs, case.out, case.geometry, [b.store(outputs[0])])
    m.fconv(floats, m.constant(small.astype(np.float32)), case.outputs, case.out, case.geometry, [b.store(outputs[1])])
    packed = m.constant(b.pack(weight >= 0))
    m.fconv(floats, packed, case.outputs, case.out, case.geometry, [b.store(outputs[2])])
    numbers = (x.astype(np.float32) - 128) // 16
    y, z, w = Session(m.file(), case.threads, case.isa).run(x, numbers)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(z, conv(numbers, small, case.out, case.geometry))
    np.testing.assert_array_equal(w, conv(numbers, np.where(weight >= 0, 1.0, -1.0), case.out, case.geometry))


@EXAMPLES
@given(st.data())
def test_a_chain_of_int8_layers(data: Any) -> None:
    """Stem, bytes between the layers, an average pool, a dense head: as in a network."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    size, channels, middle = data.draw(st.integers(4, 12)), data.draw(st.integers(1, 5)), data.draw(st.integers(1, 70))
    isa, threads = data.draw(st.sampled_from(ISAS)), data.draw(st.sampled_from([1, 2]))
    x = random.integers(0, 256, (3, 1, size, size, channels)).astype(np.uint8)
    k = data.draw(st.sampled_from([3, 5]))
    g1 = Geometry(
        (1, k, k),
        (1, 2, 2),
        pad_begin=(0, k // 2, k // 2),
        pad_end=(0, k // 2, k // 2),
        pad_mode=int(random.choice([0, 3])),
    )
    w1 = random.integers(-128, 128, (middle, k * k, channels)).astype(np.int8)
    out = (size + 1) // 2
    w2 = random.integers(-128, 128, (11, out * out, middle)).astype(np.int8)
    zeros = [int(z) for z in random.integers(0, 256, 2)]
    scale = (random.random(middle) * 0.01).astype(np.float32)
    m = Builder()
    source = m.value("u8", (1, size, size, channels), role="input", scale=0.5, zero=zeros[0])
    mid = m.value("u8", (1, out, out, middle), scale=0.125, zero=zeros[1])
    mean = m.value("f32", (1, 1, 1, middle), role="output", axes=(4,))
    peak = m.value("f32", (1, 1, 1, middle), role="output", axes=(4,))
    head = m.value("f32", (1, 1, 1, 11), role="output", axes=(4,))
    m.qconv(source, m.constant(w1), middle, (1, out, out), g1, [b.affine(m.constant(scale)), b.store_u8(mid, 8.0)])
    m.pool(mid, 2, (1, 1, 1), Geometry((1, out, out)), [b.store(mean)])
    m.pool(mid, 1, (1, 1, 1), Geometry((1, out, out)), [b.store(peak)])
    m.qconv(mid, m.constant(w2), 11, (1, 1, 1), Geometry((1, out, out)), [b.affine(p0=0.5), b.store(head)])
    acc = conv(x.astype(np.int64) - zeros[0], w1, (1, out, out), g1).astype(np.float32)
    q = quantize(acc * scale, 8.0, zeros[1]).astype(np.int64) - zeros[1]
    got = Session(m.file(), threads, isa).run(x)
    wanted_mean = q.sum((1, 2, 3)).astype(np.float32) * np.float32(0.125) / np.float32(out * out)
    np.testing.assert_array_equal(got[0], wanted_mean)
    np.testing.assert_array_equal(got[1], q.max((1, 2, 3)).astype(np.float32) * np.float32(0.125))
    wanted = q.reshape(3, -1) @ w2.reshape(11, -1).T.astype(np.int64)
    np.testing.assert_array_equal(got[2], wanted.astype(np.float32) * np.float32(0.5))


def conv_ones(ones: Array, g: Geometry) -> Array:
    """How many elements of each window lie in the map."""
    depthwise = Geometry(g.kernel, g.stride, g.dilation, g.pad_begin, g.pad_end, ones.shape[-1])
    taps = int(np.prod(g.kernel))
    return conv(ones, np.ones((ones.shape[-1], taps, 1)), (1, 4, 6), depthwise)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", [1, 2, 3])
def test_pools_of_bytes(isa: str, kind: int) -> None:
    random = np.random.default_rng(kind)
    x = random.integers(0, 256, (2, 1, 7, 6, 37)).astype(np.uint8)
    g = Geometry((1, 3, 2), (1, 2, 1), pad_begin=(0, 1, 1), pad_end=(0, 1, 0))
    m = Builder()
    source = m.value("u8", (1, 7, 6, 37), role="input", scale=0.3, zero=200)
    y = m.value("f32", (1, 4, 6, 37), role="output")
    m.pool(source, kind, (1, 4, 6), g, [b.store(y)])
    integers = x.astype(np.int64) - 200
    if kind == 1:
        expected = pool(integers, 1, (1, 4, 6), g).astype(np.float32) * np.float32(0.3)
    else:  # the exact sum times scale, then one division
        ones = np.ones_like(x)
        divisor = np.rint(conv_ones(ones, g) / pool(ones, kind, (1, 4, 6), g)).astype(np.float32)
        sums = np.rint(pool(integers, kind, (1, 4, 6), g) * divisor).astype(np.float32)
        expected = sums * np.float32(0.3) / divisor
    np.testing.assert_array_equal(Session(m.file(), 1, isa).run(x), expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [1, 3, 40, 600])
def test_maps_of_bytes(isa: str, channels: int) -> None:
    """A u8 input as floats, as bits, and through STORE_U8 again."""
    random = np.random.default_rng(channels)
    x = random.integers(0, 256, (2, 1, 5, 6, channels)).astype(np.uint8)
    m = Builder()
    dims = (1, 5, 6, channels)
    source = m.value("u8", dims, role="input", scale=0.017, zero=121)
    y, z, v = (m.value("f32", dims, role="output") for _ in range(3))
    bits, again = m.value("bits", dims), m.value("u8", dims, scale=0.1, zero=10)
    m.map(source, [b.store(y), b.store_bits(bits, p0=0.5), b.store_u8(again, 9.0)])
    m.map(bits, [b.store(z)])
    m.map(again, [b.store(v)])
    got = Session(m.file(), 2, isa).run(x)
    real = (x.astype(np.float32) - 121) * np.float32(0.017)
    np.testing.assert_array_equal(got[0], real)
    np.testing.assert_array_equal(got[1], np.where(real >= 0.5, 1.0, -1.0))
    np.testing.assert_array_equal(got[2], (quantize(real, 9.0, 10).astype(np.float32) - 10) * np.float32(0.1))


@pytest.mark.parametrize("rest", [False, True])
def test_copies_of_bytes(rest: bool) -> None:
    random = np.random.default_rng(5)
    x = random.integers(0, 256, (2, 1, 6, 5, 9)).astype(np.uint8)
    m = Builder()
    source = m.value("u8", (1, 6, 5, 9), role="input", scale=0.5, zero=77)
    joined = m.value("u8", (1, 3, 2, 12 if rest else 7), scale=0.5, zero=77)
    y = m.value("f32", (1, 3, 2, 12 if rest else 7), role="output")
    m.copy(source, joined, (0, 1, 0, 0), (1, 2, 3, 1), (1, 3, 2, 4), 3, rest)
    if not rest:
        m.copy(source, joined, (0, 0, 1, 2), (1, 1, 1, 3), (1, 3, 2, 3), 0)
    m.map(joined, [b.store(y)])
    expected = np.full((2, 1, 3, 2, 12 if rest else 7), 77)
    expected[..., 3:7] = x[:, :, 1::2, ::3, :4]
    if not rest:
        expected[..., :3] = x[:, :, :3, 1:3, 2::3]
    np.testing.assert_array_equal(Session(m.file()).run(x), (expected - 77).astype(np.float32) * np.float32(0.5))


def image_model(channels: int = 3) -> bytes:
    """Pixels [N, C, H, W] as floats [N, C, H, W]."""
    m = Builder()
    x = m.value("u8", (1, 5, 7, channels), role="input", name="image", axes=(4, 2, 3), scale=1.0, zero=0)
    y = m.value("f32", (1, 5, 7, channels), role="output", name="y", axes=(4, 2, 3))
    m.map(x, [b.store(y)])
    return m.file()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9])
def test_pixels_of_any_strides(channels: int) -> None:
    session = Session(image_model(channels))
    assert session.inputs[0].dtype == np.uint8
    random = np.random.default_rng(channels)
    plain = random.integers(0, 256, (2, channels, 5, 7)).astype(np.uint8)
    last = np.ascontiguousarray(plain.transpose(0, 2, 3, 1))
    big = random.integers(0, 256, (4, channels, 10, 21)).astype(np.uint8)
    wide = random.integers(0, 256, (2, 5, 7, channels + 2)).astype(np.uint8)
    for x in (
        plain,
        last.transpose(0, 3, 1, 2),
        big[::2, :, ::2, ::3],
        big[:2, ::-1, 9:4:-1, :7],
        wide.transpose(0, 3, 1, 2)[:, 1 : channels + 1],
        np.broadcast_to(plain[:1, :, :1], plain.shape),
    ):
        np.testing.assert_array_equal(session.run(x), x.astype(np.float32))


def test_wrong_inputs() -> None:
    session = Session(image_model())
    for dtype in (np.float32, np.int8, np.int64):
        with pytest.raises(TypeError, match=f"'image' is {np.dtype(dtype)}; uint8 is expected: pass the pixels"):
            session.run(np.zeros((1, 3, 5, 7), dtype))
    with pytest.raises(InputError, match=r"'image' has the shape \[1, 5, 7, 3\]"):
        session.run(np.zeros((1, 5, 7, 3), np.uint8))


def test_run_op_takes_and_gives_bytes() -> None:
    m = Builder()
    x = m.value("u8", (1, 2, 3, 5), role="input", scale=0.5, zero=7)
    mid = m.value("u8", (1, 2, 3, 4), scale=0.5, zero=9)
    y = m.value("f32", (1, 2, 3, 4), role="output")
    random = np.random.default_rng(0)
    weight = random.integers(-128, 128, (4, 1, 5)).astype(np.int8)
    m.qconv(x, m.constant(weight), 4, (1, 2, 3), Geometry(), [b.affine(p0=0.01), b.store_u8(mid, 0.5)])
    m.map(mid, [b.store(y)])
    session = Session(m.file())
    q = random.integers(0, 256, (3, 1, 2, 3, 5)).astype(np.uint8)
    acc = conv(q.astype(np.int64) - 7, weight, (1, 2, 3), Geometry())
    wanted = quantize(acc.astype(np.float32) * np.float32(0.01), 0.5, 9)
    got = session.run_op(0, {x: q})[mid]
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(session.run_op(1, {mid: got})[y], (wanted.astype(np.float32) - 9) * np.float32(0.5))
    with pytest.raises(TypeError, match=r"value 0 \(u8\) is float32; uint8 is expected"):
        session.run_op(0, {x: q.astype(np.float32)})
    facts = session.ops()[0]
    assert (facts["kind"], facts["int8_macs"], facts["float_macs"], facts["weight_bytes"]) == ("QCONV", 120, 0, 20)
    assert (session.values()[mid]["scale"], session.values()[mid]["zero"]) == (0.5, 9)


def small(**change: Any) -> Builder:
    m = Builder()
    x = m.value("u8", (1, 4, 4, 6), role="input", scale=0.5, zero=7)
    mid = m.value("u8", (1, 4, 4, 8), scale=0.5, zero=9)
    y = m.value("f32", (1, 4, 4, 8), role="output")
    g = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), pad_mode=change.get("pad_mode", 0))
    weight = np.zeros((8, 9, 6), change.get("weight", np.int8))
    m.qconv(change.get("x", x), m.constant(weight), 8, (1, 4, 4), g, [b.store_u8(change.get("target", mid))])
    m.map(mid, [b.store(y)])
    return m


def error(m: Builder) -> str:
    with pytest.raises(ModelError) as info:
        Session(m.file())
    return str(info.value)


def test_hostile_files() -> None:
    assert Session(small().file()).run(np.zeros((1, 1, 4, 4, 6), np.uint8)).shape == (1, 1, 4, 4, 8)
    where = "op 0 (QCONV): "
    assert where + "input value 2 has dtype f32, u8 is expected" in error(small(x=2))
    assert where + "weight constant 0 has dtype f32, i8 is expected" in error(small(weight=np.float32))
    assert where + "pad_mode 1, known for maps of numbers are 0 and 3" in error(small(pad_mode=1))
    assert "op 0 (QCONV), step 0 (STORE_U8): step value 2 has dtype f32, u8 is expected" in error(small(target=2))
    for scale in (0.0, -1.0, float("inf"), float("nan")):
        m = small()
        m.values[0].scale = scale
        assert f"value 0: scale {scale:g} of a u8 value, a finite number > 0 is expected" in error(m)
    m = small()
    m.values[0].zero = 256
    assert "value 0: zero point 256 of a u8 value, 0 to 255 is expected" in error(m)
    m = small()
    m.values[2].zero = 1
    assert "value 2: a reserved field is not zero" in error(m)
    m = small()
    m.values[1].flags, m.values[1].name, m.values[1].axes = 2, "q", (2, 3, 4)
    assert "value 1: a model output of dtype u8, f32 is expected" in error(m)
    m = Builder()
    x = m.value("u8", (1, 1, 1, 65536), role="input", scale=0.5, zero=7)
    y = m.value("f32", (1, 1, 1, 1), role="output")
    m.qconv(x, m.constant(np.zeros(65536, np.int8)), 1, (1, 1, 1), Geometry(), [b.store(y)])
    assert where + "products of one accumulator exceeds the limit of 65535" in error(m)
    m = Builder()
    x = m.value("u8", (1, 2, 2, 2), role="input", scale=0.5, zero=7)
    y = m.value("u8", (1, 2, 2, 2), scale=0.5, zero=8)
    z = m.value("f32", (1, 2, 2, 2), role="output")
    m.copy(x, y, (0, 0, 0, 0), (1, 1, 1, 1), (1, 2, 2, 2))
    m.map(y, [b.store(z)])
    assert "op 0 (COPY): the output has scale 0.5 and zero point 8, the input 0.5 and 7" in error(m)


def test_what_is_new_needs_the_new_version() -> None:
    said = "in a file of version 1.0, it came with 1.1"
    m = small()
    m.minor = 0
    assert f"constant 0: dtype i8 {said}" in error(m)
    m = Builder()
    pixels = m.value("u8", (1, 2, 2, 2), role="input", scale=0.5)
    m.map(pixels, [b.store(m.value("f32", (1, 2, 2, 2), role="output"))])
    m.minor = 0
    assert f"value 0: dtype u8 {said}" in error(m)
    for op, words in ((8, "op 0 (QCONV): this opcode"), (4, "op 0 (MAP), step 0: STORE_U8")):
        m = Builder()
        x = m.value("f32", (1, 2, 2, 2), role="input")
        y = m.value("f32", (1, 2, 2, 2), role="output")
        if op == 8:
            m.qconv(x, m.constant(np.zeros(4, np.float32)), 2, (1, 2, 2), Geometry(), [b.store(y)])
        else:
            m.map(x, [b.store_u8(y)])
        assert f"{words} {said}" in error(m)
    m = Builder()
    x = m.value("f32", (1, 2, 2, 2), role="input")
    y = m.value("f32", (1, 2, 2, 2), role="output")
    m.map(x, [b.store(y)])
    m.constant(np.zeros(3, np.int8))
    assert f"constant 0: dtype i8 {said}" in error(m)
    m = Builder()
    x = m.value("f32", (1, 2, 2, 2), role="input")
    y = m.value("f32", (1, 2, 2, 2), role="output")
    m.map(x, [b.store(y)])
    plain = m.file()
    m.minor = 1  # allowed, if unusual: nothing new is used
    assert Session(m.file()).run(np.ones((1, 1, 2, 2, 2), np.float32)).sum() == 8
    assert struct.unpack_from("<H", plain, 10) == (0,)
