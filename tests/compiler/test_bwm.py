"""The file: layout, round trip, determinism, damage, atomic writing."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from bitwright.compiler import BwmFormatError, build, compile
from bitwright.compiler.bwm import encode
from bitwright.compiler.bwm_read import read
from bitwright.compiler.meta import array_of, meanings
from bitwright.compiler.program import DType

from .graphs import Builder


def net(seed: int = 0) -> Builder:
    b = Builder((3, 9, 9), seed=seed)
    y = b.batch_norm(b.conv("x", 3, 40, pads=[1, 1, 1, 1]), 40)
    y = b.batch_norm(b.bconv(y, 40, 24, pads=(1, 1, 1, 1), module="features.3"), 24)
    y = b.bconv(y, 24, 24, group=2)
    y = b.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    b.last = b.op("Gemm", b.op("Flatten", y), b.const(b.normal(24 * 9, 10)))  # type: ignore[attr-defined]
    return b


def model(seed: int = 0):  # type: ignore[no-untyped-def]
    b = net(seed)
    return b.model(b.last)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def data() -> bytes:
    return encode(build(model()))


def test_header(data: bytes) -> None:
    assert data[:8] == b"\x89BWM\r\n\x1a\n"
    major, minor, sections, size, crc, head = struct.unpack_from("<HHIQII", data, 8)
    assert (major, minor, sections, size) == (1, 0, 5, len(data))
    assert crc == zlib.crc32(data[64:])
    assert head == zlib.crc32(data[:28])
    end = 64 + 5 * 32
    for i in range(5):
        kind, _, offset, length, zero = struct.unpack_from("<IIQQQ", data, 64 + 32 * i)
        assert kind == i + 1
        assert offset % 64 == 0
        assert zero == 0
        assert not any(data[end:offset])
        end = offset + length
    assert end == len(data)


def test_round_trip(data: bytes) -> None:
    assert encode(read(data)) == data


def test_same_input_same_bytes(tmp_path: Path) -> None:
    for name in ("a.bwm", "b.bwm"):
        compile(model(), tmp_path / name)
    assert (tmp_path / "a.bwm").read_bytes() == (tmp_path / "b.bwm").read_bytes()
    compile(model(1), tmp_path / "b.bwm")
    assert (tmp_path / "a.bwm").read_bytes() != (tmp_path / "b.bwm").read_bytes()


def test_meta_says_what_values_are(data: bytes) -> None:
    program = read(data)
    found = meanings(program)
    values = program.values()
    assert len(found) == len(values)
    bits = [v for v in values if v.dtype is DType.BITS]
    assert bits
    assert all(found[id(v)].threshold is not None for v in bits)
    assert any(op.module == "features.3" for op in program.ops)
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    got = array_of(found[id(values[0])], values[0], x)
    np.testing.assert_array_equal(got[:, 0], x.transpose(0, 2, 3, 1))


def test_every_flipped_byte_is_noticed(data: bytes) -> None:
    rng = np.random.default_rng(0)
    for at in [*range(64), *rng.integers(64, len(data), 200)]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(8))
        if 32 <= at < 64:
            continue  # reserved: checked below
        with pytest.raises(BwmFormatError):
            read(bytes(damaged))
    damaged = bytearray(data)
    damaged[40] = 1
    with pytest.raises(BwmFormatError):
        read(bytes(damaged))


def test_truncated_and_empty(data: bytes) -> None:
    for n in (0, 8, 63, 64, 100, len(data) - 1):
        with pytest.raises(BwmFormatError):
            read(data[:n])


def test_hostile_fields_with_right_checksums(data: bytes) -> None:
    """Random changes behind correct checksums either still decode or raise our error: never another exception."""
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        limit = len(data) if rng.random() < 0.3 else 3000
        for at in rng.integers(64, limit, rng.integers(1, 4)):
            damaged[at] = int(rng.integers(256))
        damaged[24:28] = struct.pack("<I", zlib.crc32(bytes(damaged[64:])))
        damaged[28:32] = struct.pack("<I", zlib.crc32(bytes(damaged[:28])))
        try:
            read(bytes(damaged))
        except BwmFormatError:
            refused += 1
    assert refused > 100


def test_newer_version_is_named(data: bytes) -> None:
    newer = bytearray(data)
    newer[10:12] = struct.pack("<H", 7)
    newer[28:32] = struct.pack("<I", zlib.crc32(bytes(newer[:28])))
    with pytest.raises(BwmFormatError, match=r"1\.7.*newer"):
        read(bytes(newer))


def test_write_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "deep" / "net.bwm"
    compile(model(), target)
    old = target.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        compile(model(), target, name="another")
    assert target.read_bytes() == old
    assert [p.name for p in target.parent.iterdir()] == ["net.bwm"]


def test_model_metadata_is_kept() -> None:
    m = model()
    m.metadata_props.add(key="classes", value="a,b")
    assert read(encode(build(m))).meta["metadata"] == {"classes": "a,b"}
