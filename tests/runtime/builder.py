"""Writes .bwm files for tests, from docs/bwm.md alone: no code shared with the compiler or the engine."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

NONE = 0xFFFFFFFF
MAGIC = b"\x89BWM\r\n\x1a\n"
F32, BITS, I32, U8, I16 = 1, 2, 3, 4, 5
DTYPES = {"f32": F32, "bits": BITS, "i32": I32, "u8": U8, "i16": I16}


def align(n: int, unit: int = 64) -> int:
    return -(-n // unit) * unit


def pack(bits: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """bool [..., C] to uint32 [..., ceil(C/32)], one bit at a time."""
    channels = bits.shape[-1]
    words = np.zeros((*bits.shape[:-1], (channels + 31) // 32), np.uint32)
    for c in range(channels):
        words[..., c // 32] |= bits[..., c].astype(np.uint32) << np.uint32(c % 32)
    return words


@dataclass
class Geometry:
    kernel: Sequence[int] = (1, 1, 1)
    stride: Sequence[int] = (1, 1, 1)
    dilation: Sequence[int] = (1, 1, 1)
    pad_begin: Sequence[int] = (0, 0, 0)
    pad_end: Sequence[int] = (0, 0, 0)
    groups: int = 1
    pad_mode: int = 0
    transposed: bool = False

    def data(self) -> bytes:
        dims = (*self.kernel, *self.stride, *self.dilation, *self.pad_begin, *self.pad_end)
        return struct.pack("<19I", *dims, self.groups, self.pad_mode, int(self.transposed), 0)


@dataclass
class Value:
    dtype: str
    dims: tuple[int, int, int, int]
    groups: int
    flags: int
    name: str
    axes: tuple[int, ...]
    offset: int
    scale: float = 0.0
    planes: int = 0
    zero: int = 0

    @property
    def bytes(self) -> int:
        d, h, w, c = self.dims
        if self.dtype == "bits":
            return align((d * h * w + 1) * max(self.planes, 1) * self.groups * -(-(c // max(self.groups, 1)) // 32) * 4)
        if self.dtype == "u8":
            return align((d * h * w + 1) * c + 64)
        return align(d * h * w * c * (2 if self.dtype == "i16" else 4))


@dataclass
class Builder:
    """Collects values, constants and ops; `file()` gives the bytes. Values never share memory."""

    values: list[Value] = field(default_factory=list)
    constants: list[tuple[int, npt.NDArray[Any]]] = field(default_factory=list)
    ops: list[bytes] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    strings: bytearray = field(default_factory=lambda: bytearray(b"\0"))
    minor: int = 0

    def value(
        self,
        dtype: str,
        dims: Sequence[int],
        groups: int = 1,
        role: str = "",
        name: str = "",
        axes: Sequence[int] = (),
        scale: float = 0.0,
        planes: int = 0,
        zero: int = 0,
    ) -> int:
        d, h, w, c = (int(n) for n in dims)
        offset = self.values[-1].offset + self.values[-1].bytes if self.values else 0
        if role and not axes:
            axes = (1, 2, 3, 4)
        flags = {"": 0, "input": 1, "output": 2}[role]
        name = name or (f"{role}{len(self.values)}" if role else "")
        self.values.append(Value(dtype, (d, h, w, c), groups, flags, name, tuple(axes), offset, scale, planes, zero))
        self.minor = max(self.minor, int(dtype == "u8"))
        return len(self.values) - 1

    def constant(self, array: npt.NDArray[Any]) -> int:
        code = {"float32": 1, "uint32": 2, "int32": 3, "int8": 4}[array.dtype.name]
        self.constants.append((code, np.ascontiguousarray(array)))
        return len(self.constants) - 1

    def op(self, opcode: int, fields: bytes, steps: Sequence[bytes] = (), name: str = "") -> int:
        body = fields + b"".join(steps)
        header = struct.pack("<4I", opcode, 16 + len(body), len(steps), self.string(name))
        self.ops.append(header + body)
        return len(self.ops) - 1

    def bconv(
        self,
        x: int,
        weight: int,
        outputs: int,
        out: Sequence[int],
        geometry: Geometry,
        steps: Sequence[bytes],
        low: int = 0,
    ) -> int:
        fields = struct.pack("<8I", x, weight, outputs, low, *out, 0) + geometry.data() + struct.pack("<I", 0)
        return self.op(1, fields, steps, "bconv")

    def fconv(
        self, x: int, weight: int, outputs: int, out: Sequence[int], geometry: Geometry, steps: Sequence[bytes]
    ) -> int:
        fields = struct.pack("<8I", x, weight, outputs, 0, *out, 0) + geometry.data() + struct.pack("<I", 0)
        return self.op(2, fields, steps, "fconv")

    def qconv(
        self, x: int, weight: int, outputs: int, out: Sequence[int], geometry: Geometry, steps: Sequence[bytes],
        padding: int = NONE,
    ) -> int:  # fmt: skip
        fields = (
            struct.pack("<8I", x, weight, outputs, (padding + 1) & NONE, *out, 0)
            + geometry.data()
            + struct.pack("<I", 0)
        )
        return self.op(8, fields, steps, "qconv")

    def pool(self, x: int, kind: int, out: Sequence[int], geometry: Geometry, steps: Sequence[bytes]) -> int:
        fields = struct.pack("<6I", x, kind, *out, 0) + geometry.data() + struct.pack("<I", 0)
        return self.op(3, fields, steps, "pool")

    def bpool(self, x: int, out: int, geometry: Geometry, flip: int = NONE) -> int:
        fields = struct.pack("<4I", x, out, flip, 0) + geometry.data() + struct.pack("<I", 0)
        return self.op(7, fields, (), "bpool")

    def map(self, x: int, steps: Sequence[bytes]) -> int:
        return self.op(4, struct.pack("<2I", x, 0), steps, "map")

    def copy(
        self,
        x: int,
        out: int,
        start: Sequence[int],
        step: Sequence[int],
        count: Sequence[int],
        channel: int = 0,
        zero_rest: bool = False,
    ) -> int:
        fields = struct.pack("<16I", x, out, *start, *step, *count, channel, int(zero_rest))
        return self.op(5, fields, (), "copy")

    def bmatmul(self, a: int, right: int, steps: Sequence[bytes], low: int = 0, along_tokens: bool = False) -> int:
        return self.op(9, struct.pack("<4I", a, right, low, int(along_tokens)), steps, "bmatmul")

    def embed(self, x: int, weight: int, rows: int, outputs: int, steps: Sequence[bytes], scale: int = NONE) -> int:
        return self.op(6, struct.pack("<6I", x, weight, rows, outputs, scale, 0), steps, "embed")

    def string(self, text: str) -> int:
        if not text:
            return 0
        offset = len(self.strings)
        self.strings += text.encode() + b"\0"
        return offset

    def sections(self) -> list[tuple[int, bytes]]:
        values = b""
        for v in self.values:
            axes = bytes((*v.axes, *(0,) * (4 - len(v.axes))))
            name = self.string(v.name)
            values += struct.pack(
                "<I4I3IQQ", DTYPES[v.dtype], *v.dims, v.groups, v.flags, name, v.offset, v.bytes % 2**64
            )
            values += axes + struct.pack("<IfI", v.planes, v.scale, v.zero)
        data, constants = b"", b""
        for code, array in self.constants:
            data += bytes(align(len(data)) - len(data))
            constants += struct.pack("<2I3Q", code, 0, array.size, len(data), 0)
            data += array.tobytes()
        text = json.dumps(self.meta).encode()
        meta = struct.pack("<I", len(text)) + text
        meta += bytes(align(len(meta), 8) - len(meta)) + struct.pack("<I", len(self.strings)) + bytes(self.strings)
        counts = (len(self.values), len(self.ops), len(self.constants), 0, 0)
        return list(zip(counts, (values, b"".join(self.ops), constants, data, meta), strict=True))

    def file(self) -> bytes:
        return assemble(self.sections(), self.minor)


def assemble(sections: Sequence[tuple[int, bytes]], minor: int = 0) -> bytes:
    """The five sections (count, bytes) behind a header and a table."""
    table, body, at = b"", b"", align(64 + 32 * 5)
    body += bytes(at - 64 - 32 * 5)
    for kind, (count, data) in enumerate(sections, 1):
        table += struct.pack("<2I3Q", kind, count, at, len(data), 0)
        padded = align(len(data))
        body += data + bytes(padded - len(data) if kind < 5 else 0)
        at += padded if kind < 5 else len(data)
    return seal(bytearray(MAGIC + struct.pack("<2HIQ2I", 1, minor, 5, at, 0, 0) + bytes(32) + table + body))


def seal(data: bytearray) -> bytes:
    """Recomputes both checksums."""
    struct.pack_into("<I", data, 24, zlib.crc32(bytes(data[64:])))
    struct.pack_into("<I", data, 28, zlib.crc32(bytes(data[:28])))
    return bytes(data)


def step(
    kind: int, value: int = NONE, a: int = NONE, b: int = NONE, p0: float = 0.0, p1: float = 0.0, n: int = 0
) -> bytes:
    return struct.pack("<4I2f2I", kind, value, a, b, p0, p1, n, 0)


def threshold(value: int, a: int, flip: int = NONE) -> bytes:
    return step(1, value, a, flip)


def affine(a: int = NONE, b: int = NONE, p0: float = 1.0, p1: float = 0.0) -> bytes:
    return step(2, NONE, a, b, p0, p1)


def add(value: int) -> bytes:
    return step(3, value)


def prelu(a: int = NONE, p0: float = 0.0) -> bytes:
    return step(4, NONE, a, NONE, p0)


def clamp(low: float, high: float) -> bytes:
    return step(5, NONE, NONE, NONE, low, high)


def store(value: int) -> bytes:
    return step(6, value)


def store_bits(value: int, a: int = NONE, flip: int = NONE, p0: float = 0.0) -> bytes:
    return step(7, value, a, flip, p0)


def unary(function: int) -> bytes:
    return step(8, n=function)


def store_u8(value: int, p0: float = 1.0) -> bytes:
    return step(10, value, p0=p0)


def mul(value: int, gate: bool = False) -> bytes:
    return step(9, value, n=int(gate))


def store_levels(value: int, planes: int, a: int = NONE, offset: int = NONE, p0: float = 1.0, p1: float = 0.0) -> bytes:
    return step(11, value, a, offset, p0, p1, planes)


def fixed(a: int, offset: int, before: int = 0, after: int = 0) -> bytes:
    return step(12, NONE, a, offset, n=before | after << 8)


def add_i16(value: int) -> bytes:
    return step(13, value)


def prelu_i16(a: int, after: int = 0) -> bytes:
    return step(14, NONE, a, n=after)


def bias_i16(offset: int) -> bytes:
    return step(15, NONE, NONE, offset)


def clamp_i16(low: int, high: int) -> bytes:
    return step(16, p0=low, p1=high)


def store_i16(value: int) -> bytes:
    return step(17, value)


def store_bits_i16(value: int, a: int, flip: int = NONE) -> bytes:
    return step(18, value, a, flip)


def quantize_i16(factor: float) -> bytes:
    return step(19, p0=factor)
