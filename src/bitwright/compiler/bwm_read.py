"""Reads and validates a `.bwm` file in pure Python, so that `inspect` and `verify` need no native module.

It checks everything that it relies on: header, checksums, sections, ids, sizes of constants, shapes. The engine's
own reader
(`native/engine/reader.cpp`) is stricter about what only the executor needs (arena overlap, indirection sizes).
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from . import bwm_format as f
from .errors import BwmFormatError
from .packing import words_of
from .program import (
    BConv,
    BPool,
    Const,
    Copy,
    Dims3,
    DType,
    Embed,
    FConv,
    Geometry,
    Map,
    Op,
    PadMode,
    Pool,
    PoolKind,
    Program,
    QConv,
    Step,
    StepKind,
    UnaryFn,
    Value,
    out_dims,
)

_DTYPES: dict[int, Any] = {1: np.dtype("<f4"), 2: np.dtype("<u4"), 3: np.dtype("<i4"), 4: np.dtype("<i1")}


def read(source: str | os.PathLike[str] | bytes) -> Program:
    """The program in a file (or in its bytes). Raises `BwmFormatError` naming the first thing that is wrong."""
    if isinstance(source, bytes):
        return _Decoder(source).program()
    try:
        return _Decoder(Path(source).read_bytes()).program()
    except BwmFormatError as error:
        raise BwmFormatError(f"{os.fspath(source)}: {error}") from None


def _stored_type(step: Step) -> DType:
    if step.kind is StepKind.STORE_U8:
        return DType.U8
    return DType.BITS if step.stores_bits else DType.I16 if step.fixed else DType.F32


def _check(condition: bool, what: str) -> None:
    if not condition:
        raise BwmFormatError(f"not a valid .bwm file: {what}")


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sections = self._sections()
        self.meta, self.names = self._meta()
        self.values = self._values()
        self.constants = self._constants()

    # --- frame

    def _sections(self) -> dict[str, tuple[int, int, int]]:
        data = self.data
        _check(len(data) >= 64, f"it has {len(data)} bytes, fewer than the header")
        magic, major, minor, count, size, crc, head_crc, zero = f.HEADER.unpack_from(data)
        _check(magic == f.MAGIC, f"magic {magic.hex()} instead of {f.MAGIC.hex()}")
        _check(zlib.crc32(data[:28]) == head_crc, "the header's checksum is wrong (damaged file)")
        self.minor = minor
        if major != f.MAJOR or minor > f.MINOR:
            raise BwmFormatError(
                f"the file has version {major}.{minor}, this bitwright reads {f.MAJOR}.{f.MINOR}: "
                "it was written by a newer bitwright"
            )
        self.minor = minor
        _check(size == len(data), f"it should have {size} bytes and has {len(data)} (truncated?)")
        _check(zlib.crc32(data[64:]) == crc, "the checksum is wrong (damaged file)")
        _check(count == len(f.SECTIONS) and not any(zero), f"{count} sections instead of {len(f.SECTIONS)}")
        _check(len(data) >= 64 + 32 * count, "the section table is cut off")
        found = {}
        end = 64 + 32 * count
        for i, name in enumerate(f.SECTIONS):
            kind, records, offset, length, _ = f.SECTION.unpack_from(data, 64 + 32 * i)
            _check(kind == i + 1, f"section {i} has kind {kind}")
            _check(offset % 64 == 0 and offset >= end and offset + length <= len(data), f"section {name} is misplaced")
            found[name] = (records, offset, length)
            end = offset + length
        return found

    def _meta(self) -> tuple[dict[str, Any], bytes]:
        _, offset, length = self.sections["META"]
        raw = self.data[offset : offset + length]
        _check(length >= 4, "META is cut off")
        (size,) = f.ZERO.unpack_from(raw)
        at = f.align(4 + size, 8)
        _check(at + 4 <= length, "META's JSON is cut off")
        try:
            meta = json.loads(raw[4 : 4 + size].decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise BwmFormatError(f"META is not JSON: {error}") from error
        _check(isinstance(meta, dict), "META is not a JSON object")
        (block,) = f.ZERO.unpack_from(raw, at)
        names = raw[at + 4 : at + 4 + block]
        _check(len(names) == block and names[:1] == b"\0" and names[-1:] == b"\0", "META's string block is cut off")
        return meta, names

    def name(self, offset: int) -> str:
        _check(offset < len(self.names), f"name offset {offset} is outside the string block")
        try:
            return self.names[offset : self.names.index(b"\0", offset)].decode("utf-8")
        except UnicodeDecodeError as error:
            raise BwmFormatError(f"a name is not UTF-8: {error}") from error

    # --- tables

    def _values(self) -> list[Value]:
        count, offset, length = self.sections["VALUES"]
        _check(length == count * 64, f"VALUES has {length} bytes for {count} records")
        values = []
        for i in range(count):
            dtype, d, h, w, c, groups, flags, name, arena, size, *tail = f.VALUE.unpack_from(self.data, offset + 64 * i)
            axes = tuple(a for a in tail[:4] if a)
            _check(dtype in list(DType), f"value {i} has dtype {dtype}")
            self._since_1_1(dtype in (DType.U8, DType.I16), f"value {i} has dtype {dtype}, which")
            _check(min(d, h, w, c) >= 1 and groups >= 1 and c % groups == 0, f"value {i} has dims {[d, h, w, c]}")
            _check(flags < 3 and all(a <= 4 for a in axes), f"value {i} has flags {flags}, axes {axes}")
            v = Value(
                DType(dtype), (d, h, w, c), groups, self.name(name), bool(flags & 1), bool(flags & 2), axes, arena
            )
            planes, v.scale, v.zero = tail[4:]
            _check(0 < v.scale < math.inf if v.quantized else v.scale == 0, f"value {i} has scale {v.scale}")
            _check(v.zero <= (255 if v.dtype is DType.U8 else 0), f"value {i} has zero point {v.zero}")
            good = planes == 0 or (dtype == DType.BITS and 2 <= planes <= 8 and self.minor >= 1)
            _check(good, f"value {i} has {planes} planes")
            v.planes = planes or 1
            _check(v.bytes == size and arena % 64 == 0, f"value {i} takes {v.bytes} bytes, the file says {size}")
            values.append(v)
        return values

    def _constants(self) -> list[Const]:
        count, offset, length = self.sections["CONSTANTS"]
        _, base, room = self.sections["DATA"]
        _check(length == count * 32, f"CONSTANTS has {length} bytes for {count} records")
        constants = []
        for i in range(count):
            dtype, _, elements, at, _ = f.CONSTANT.unpack_from(self.data, offset + 32 * i)
            _check(dtype in _DTYPES, f"constant {i} has dtype {dtype}")
            self._since_1_1(dtype == 4, f"constant {i}")
            size = _DTYPES[dtype].itemsize * elements
            _check(elements >= 1 and at % 64 == 0 and at + size <= room, f"constant {i} is outside DATA")
            raw = np.frombuffer(self.data, _DTYPES[dtype], elements, base + at)
            constants.append(Const(raw.astype(raw.dtype.newbyteorder("="), copy=False)))
        return constants

    def _since_1_1(self, uses: bool, what: str) -> None:
        """What version 1.1 brought is refused in a file that says 1.0."""
        _check(not uses or self.minor >= 1, f"{what} needs version 1.1 of the format, the header says 1.0")

    def value(self, i: int) -> Value:
        _check(i < len(self.values), f"value id {i} of {len(self.values)}")
        return self.values[i]

    def constant(self, i: int, dtype: type, elements: int, what: str) -> Const:
        _check(i < len(self.constants), f"{what}: constant id {i} of {len(self.constants)}")
        c = self.constants[i]
        _check(
            c.data.dtype == dtype and c.data.size == elements,
            f"{what}: constant {i} has {c.data.size} elements of {c.data.dtype}, {elements} are needed",
        )
        return c

    # --- ops

    def program(self) -> Program:
        count, offset, length = self.sections["OPS"]
        end = offset + length
        p = Program(
            [v for v in self.values if v.is_input], [v for v in self.values if v.is_output], [], self.meta, self.values
        )
        at = offset
        for i in range(count):
            _check(at + 16 <= end, f"op {i} is cut off")
            code, size, steps, name = f.OP_HEADER.unpack_from(self.data, at)
            _check(size % 8 == 0 and 16 <= size <= end - at, f"op {i} has {size} bytes")
            try:
                op, used = self._op(code, at + 16, self.name(name))
            except struct.error as error:
                raise BwmFormatError(f"not a valid .bwm file: op {i} is cut off") from error
            except ValueError as error:
                raise BwmFormatError(f"{error} (op {i})") from error
            _check(16 + used + 32 * steps == size, f"op {i} has {size} bytes for {steps} steps")
            for k in range(steps):
                op.steps.append(self._step(op, at + 16 + used + 32 * k, i))
            p.ops.append(op)
            at += size
        _check(at == end, f"OPS has {end - at} bytes too many")
        self._order(p)
        return p

    def _order(self, p: Program) -> None:
        ready = {id(v) for v in p.inputs}
        for i, op in enumerate(p.ops):
            _check(all(id(v) in ready for v in op.reads()), f"op {i} reads a value before it is written")
            ready.update(id(v) for v in op.writes())
        _check(all(id(v) in ready for v in self.values), "a value is never written")
        _check(bool(p.inputs) and bool(p.outputs), "no input or no output")
        known = self.meta.get("ops")
        for op, info in zip(p.ops, known if isinstance(known, list) else [], strict=False):
            if isinstance(info, dict):
                nodes = info.get("nodes")
                op.nodes = [str(n) for n in nodes] if isinstance(nodes, list) else []
                op.module = str(info.get("module", ""))

    def _geometry(self, at: int) -> Geometry:
        g = f.GEOMETRY.unpack_from(self.data, at)

        def three(i: int) -> Dims3:
            return (g[3 * i], g[3 * i + 1], g[3 * i + 2])

        _check(min(g[:9]) >= 1 and g[15] >= 1 and g[17] <= 1, f"a geometry is impossible: {list(g)}")
        return Geometry(three(0), three(1), three(2), three(3), three(4), g[15], PadMode(g[16]), bool(g[17]))

    def _op(self, code: int, at: int, name: str) -> tuple[Op, int]:
        if code in (1, 2, 8):
            self._since_1_1(code == 8, name)
            inp, weight, outputs, low, d, h, w, _ = f.CONV_FIELDS.unpack_from(self.data, at)
            v, g = self.value(inp), self._geometry(at + 32)
            _check(
                v.channels % g.groups == 0 and outputs >= 1 and outputs % g.groups == 0, f"{name}: groups {g.groups}"
            )
            row = v.channels // g.groups
            out: Dims3 = (d, h, w)
            if code == 1:
                depthwise = self.minor >= 1 and v.groups == 1 and v.planes == 1 and g.groups == v.channels
                _check(
                    v.dtype is DType.BITS and (v.groups == g.groups or depthwise),
                    f"{name}: its input is no bits value of its groups",
                )
                _check(low <= 1, f"{name}: low is {low}")
                _check(
                    v.planes == 1 or (low == 1 and g.pad_mode is not PadMode.ONE),
                    f"{name}: low {low} and pad_mode {int(g.pad_mode)} for an input of {v.planes} planes",
                )
                rows = (outputs // v.channels) * v.words if depthwise and v.channels > 1 else outputs * words_of(row)
                const = self.constant(weight, np.uint32, rows * g.taps, name)
                return BConv(name, v, [], [], "", const, outputs, low, out, g), 112
            if code == 8:
                _check(v.dtype is DType.U8, f"{name}: its input is not u8")
                const = self.constant(weight, np.int8, outputs * g.taps * row, name)
                padding = self.constant(low - 1, np.int32, g.taps * outputs, f"{name}: padding") if low else None
                zeros = g.pad_mode is PadMode.ZERO and not g.transposed
                _check(padding is None or zeros, f"{name}: a padding constant without zero padding")
                return QConv(name, v, [], [], "", const, outputs, out, g, padding), 112
            _check(v.dtype is DType.F32, f"{name}: its input is not f32")
            packed = weight < len(self.constants) and self.constants[weight].data.dtype == np.uint32
            kind, width = (np.uint32, words_of(row)) if packed else (np.float32, row)
            const = self.constant(weight, kind, outputs * g.taps * width, name)
            return FConv(name, v, [], [], "", const, outputs, out, g), 112
        if code == 3:
            inp, kind, d, h, w, _ = f.POOL_FIELDS.unpack_from(self.data, at)
            return Pool(name, self.value(inp), [], [], "", PoolKind(kind), (d, h, w), self._geometry(at + 24)), 104
        if code == 4:
            inp, _ = f.MAP_FIELDS.unpack_from(self.data, at)
            return Map(name, self.value(inp)), 8
        if code == 5:
            x = f.COPY_FIELDS.unpack_from(self.data, at)
            v, dst = self.value(x[0]), self.value(x[1])
            start, step, count = x[2:6], x[6:10], x[10:14]
            copy = Copy(name, v, [], [], "", dst, start, step, count, x[14], bool(x[15]))
            alone = copy.one_pixel and self.minor >= 1
            _check(
                all(
                    step[i] >= 1 and count[i] >= 1 and start[i] + (count[i] - 1) * step[i] < v.dims[i] for i in range(4)
                )
                and (alone or count[:3] == dst.spatial)
                and x[14] % (dst.channels if alone else 1 << 32) + count[3] <= dst.channels
                and x[14] < dst.channels * (dst.pixels if alone else 1),
                f"{name}: its box lies outside",
            )
            return copy, 64
        if code == 6:
            inp, weight, rows, outputs, scale, _ = f.EMBED_FIELDS.unpack_from(self.data, at)
            v = self.value(inp)
            _check(v.dtype is DType.I32 and v.channels == 1 and rows >= 1, f"{name}: its input is no list of ids")
            table = self.constant(weight, np.uint32, rows * words_of(outputs), name)
            factor = None if scale == f.NONE else self.constant(scale, np.float32, rows, name)
            return Embed(name, v, [], [], "", table, rows, outputs, factor), 24
        if code == 7:
            inp, out_id, flip, _ = f.BPOOL_FIELDS.unpack_from(self.data, at)
            v, dst, g = self.value(inp), self.value(out_id), self._geometry(at + 16)
            same = (v.channels, v.groups) == (dst.channels, dst.groups)
            bits = v.dtype is DType.BITS and dst.dtype is DType.BITS
            _check(bits and same, f"{name}: its input and output are no bits of the same channels and groups")
            mask = None if flip == f.NONE else self.constant(flip, np.uint32, words_of(v.channels), name)
            return BPool(name, v, [], [], "", dst, mask, g), 96
        raise BwmFormatError(f"not a valid .bwm file: unknown opcode {code}")

    def _step(self, op: Op, at: int, index: int) -> Step:
        kind, value, a, b, p0, p1, n, _ = f.STEP.unpack_from(self.data, at)
        what = f"op {index}, step kind {kind}"
        _check(kind in list(StepKind), f"{what} is unknown")
        self._since_1_1(kind > StepKind.MUL, what)
        k = StepKind(kind)
        dims = out_dims(op)
        channels = dims[3]
        step = Step(k, None, None, None, p0, p1, n)
        levels = k is StepKind.STORE_LEVELS
        if step.stores or step.reads:
            step.value = self.value(value)
            wanted = (1, 1, 1, channels) if k is StepKind.MUL and n == 1 else dims
            _check(step.value.dims == wanted, f"{what}: value {value} has dims {step.value.dims}, not {wanted}")
            types = {StepKind.ADD: (DType.F32, DType.I16)}.get(k, (_stored_type(step),))
            _check(step.value.dtype in types, f"{what}: value {value} has the wrong dtype")
            _check(step.value.planes == (n if levels else 1), f"{what}: value {value} has {step.value.planes} planes")
        if a != f.NONE:
            dtype = np.int32 if step.fixed or k is StepKind.THRESHOLD else np.float32
            step.a = self.constant(a, dtype, channels, what)
        if b != f.NONE:
            flip = step.stores_bits and not levels
            dtype = np.uint32 if flip else np.int32 if step.fixed else np.float32
            step.b = self.constant(b, dtype, words_of(channels) if flip else channels, what)
        needed = {
            StepKind.FIXED: (step.a, step.b),
            StepKind.PRELU_I16: (step.a,),
            StepKind.BIAS_I16: (step.b,),
            StepKind.STORE_BITS_I16: (step.a,),
        }
        for const in needed.get(k, ()):
            _check(const is not None and bool((abs(const.data) <= 1 << 15).all()), f"{what}: its constants are not i16")
        if k is StepKind.FIXED:
            _check(isinstance(op, BConv) and not op.steps, f"{what}: only as the first step of a binary convolution")
        if k is StepKind.UNARY:
            _check(n in list(UnaryFn), f"{what}: function {n}")
        if k is StepKind.THRESHOLD:
            _check(isinstance(op, BConv) and step.a is not None, f"{what}: only behind a binary convolution")
        return step
