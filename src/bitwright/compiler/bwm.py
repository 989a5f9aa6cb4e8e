"""Writes a planned program as a `.bwm` file. The same program gives the same bytes."""

from __future__ import annotations

import json
import zlib

import numpy as np

from . import bwm_format as f
from .program import (
    BConv,
    BPool,
    Const,
    Copy,
    Embed,
    FConv,
    Geometry,
    Map,
    Op,
    Pool,
    Program,
    QConv,
    Step,
    Value,
)

_DTYPES = {np.dtype(np.float32): 1, np.dtype(np.uint32): 2, np.dtype(np.int32): 3, np.dtype(np.int8): 4}


class _Names:
    """The string block: each string once, offset 0 is the empty string."""

    def __init__(self) -> None:
        self.block = bytearray(b"\0")
        self._at: dict[str, int] = {"": 0}

    def add(self, name: str) -> int:
        if name not in self._at:
            raw = name.encode("utf-8")
            if b"\0" in raw or len(raw) > f.NAME_LIMIT:
                raise ValueError(f"a name must be at most {f.NAME_LIMIT} bytes without NUL: {name[:80]!r}")
            self._at[name] = len(self.block)
            self.block += raw + b"\0"
        return self._at[name]


class _Constants:
    """Constants in the order of their first use; equal data is stored once."""

    def __init__(self) -> None:
        self.records = bytearray()
        self.data = bytearray()
        self.count = 0
        self._ids: dict[tuple[int, bytes], int] = {}
        self._offsets: dict[bytes, int] = {}

    def add(self, const: Const | None) -> int:
        if const is None:
            return f.NONE
        dtype = _DTYPES[const.data.dtype]
        raw = const.data.astype(const.data.dtype.newbyteorder("<"), copy=False).tobytes()
        key = (dtype, raw)
        if key not in self._ids:
            if raw not in self._offsets:
                self.data += b"\0" * (f.align(len(self.data)) - len(self.data))
                self._offsets[raw] = len(self.data)
                self.data += raw
            self.records += f.CONSTANT.pack(dtype, 0, const.data.size, self._offsets[raw], 0)
            self._ids[key] = self.count
            self.count += 1
        return self._ids[key]


def _geometry(g: Geometry) -> bytes:
    return f.GEOMETRY.pack(
        *g.kernel, *g.stride, *g.dilation, *g.pad_begin, *g.pad_end, g.groups, int(g.pad_mode), int(g.transposed), 0
    )


class _Encoder:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.names = _Names()
        self.constants = _Constants()
        self.values = program.values()
        self.ids = {id(v): i for i, v in enumerate(self.values)}

    def value(self, v: Value) -> bytes:
        axes = [*v.external_axes, 0, 0, 0, 0][:4]
        flags = int(v.is_input) | int(v.is_output) << 1
        planes = v.planes if v.planes > 1 else 0
        return f.VALUE.pack(
            int(v.dtype),
            *v.dims,
            v.groups,
            flags,
            self.names.add(v.name),
            v.offset,
            v.bytes,
            *axes,
            planes,
            v.scale,
            v.zero,
        )

    def step(self, s: Step) -> bytes:
        value = f.NONE if s.value is None else self.ids[id(s.value)]
        a, b = self.constants.add(s.a), self.constants.add(s.b)
        return f.STEP.pack(int(s.kind), value, a, b, s.p0, s.p1, s.n, 0)

    def fields(self, op: Op) -> bytes:
        inp = self.ids[id(op.inp)]
        add = self.constants.add
        if isinstance(op, (BConv, FConv, QConv)):
            low = op.low if isinstance(op, BConv) else 0
            weight = add(op.weight)
            if isinstance(op, QConv) and op.padding is not None:
                low = add(op.padding) + 1
            head = f.CONV_FIELDS.pack(inp, weight, op.out_channels, low, *op.out, 0)
            return head + _geometry(op.geometry) + f.ZERO.pack(0)
        if isinstance(op, Pool):
            return f.POOL_FIELDS.pack(inp, int(op.kind), *op.out, 0) + _geometry(op.geometry) + f.ZERO.pack(0)
        if isinstance(op, BPool):
            out = self.ids[id(op.dst)]
            return f.BPOOL_FIELDS.pack(inp, out, add(op.flip), 0) + _geometry(op.geometry) + f.ZERO.pack(0)
        if isinstance(op, Map):
            return f.MAP_FIELDS.pack(inp, 0)
        if isinstance(op, Copy):
            out = self.ids[id(op.dst)]
            return f.COPY_FIELDS.pack(inp, out, *op.start, *op.step, *op.count, op.dst_channel, int(op.zero_rest))
        if isinstance(op, Embed):
            return f.EMBED_FIELDS.pack(inp, add(op.weight), op.rows, op.out_channels, add(op.scale), 0)
        raise TypeError(f"unknown op {type(op).__name__}")

    def op(self, op: Op) -> bytes:
        body = self.fields(op) + b"".join(self.step(s) for s in op.steps)
        size = f.OP_HEADER.size + len(body)
        assert size % 8 == 0
        code = f.OPCODES[type(op).__name__]
        return f.OP_HEADER.pack(code, size, len(op.steps), self.names.add(op.name)) + body


def encode(program: Program) -> bytes:
    """The bytes of the file. The program must be planned (value offsets set)."""
    e = _Encoder(program)
    values = b"".join(e.value(v) for v in e.values)
    ops = b"".join(e.op(op) for op in program.ops)
    text = json.dumps(program.meta, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    meta = f.ZERO.pack(len(text)) + text
    meta += b"\0" * (f.align(len(meta), 8) - len(meta))
    meta += f.ZERO.pack(len(e.names.block)) + bytes(e.names.block)
    parts = [
        (len(e.values), values),
        (len(program.ops), ops),
        (e.constants.count, bytes(e.constants.records)),
        (0, bytes(e.constants.data)),
        (0, meta),
    ]
    table = b""
    body = bytearray()
    start = f.HEADER.size + len(parts) * f.SECTION.size
    at = f.align(start)
    body += b"\0" * (at - start)
    for kind, (count, data) in enumerate(parts, start=1):
        padding = f.align(at) - at
        body += b"\0" * padding
        at += padding
        table += f.SECTION.pack(kind, count, at, len(data), 0)
        body += data
        at += len(data)
    rest = table + bytes(body)
    size = f.HEADER.size + len(rest)
    head = f.HEADER.pack(f.MAGIC, f.MAJOR, program.minor_version, len(parts), size, zlib.crc32(rest), 0, b"")
    head = head[:28] + f.ZERO.pack(zlib.crc32(head[:28])) + head[32:]
    return head + rest
