"""Runs a program in numpy, by the words of docs/bwm.md: the oracle for the compiler's output and, op by op, for the
engine. Simple on purpose: every integer is exact, every float step has one rounding, float sums are in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import fixed
from .levels import levels
from .packing import unpack_bits
from .program import (
    BConv,
    BPool,
    Copy,
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

Array = np.ndarray[Any, Any]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def run(program: Program, inputs: dict[str, Array]) -> dict[str, Array]:
    """Outputs by name, in their external shapes."""
    data: dict[int, Array] = {}
    for v in program.inputs:
        data[id(v)] = to_internal(v, inputs[v.name])
    for op in program.ops:
        run_op(op, data)
    return {v.name: to_external(v, data[id(v)]) for v in program.outputs}


def to_internal(v: Value, x: Array) -> Array:
    """[N, *external] -> [N, D, H, W, C]."""
    assert x.shape[1:] == v.external_shape, (x.shape, v.external_shape)
    rest = [d for d in (1, 2, 3, 4) if d not in v.external_axes]
    order = [*v.external_axes, *rest]
    cube = x.reshape(x.shape[0], *(v.dims[d - 1] for d in order))
    return cube.transpose(0, *(order.index(d) + 1 for d in (1, 2, 3, 4)))


def to_external(v: Value, x: Array) -> Array:
    """[N, D, H, W, C] -> [N, *external]."""
    rest = [d for d in (1, 2, 3, 4) if d not in v.external_axes]
    return x.transpose(0, *v.external_axes, *rest).reshape(x.shape[0], *v.external_shape)


def run_op(op: Op, data: dict[int, Array]) -> None:
    """Computes the values that the op writes."""
    x = data[id(op.inp)]
    if op.inp.dtype is DType.U8 and not isinstance(op, Copy):
        x = x.astype(np.int64) - op.inp.zero
    if isinstance(op, Copy):
        spans = zip(op.start, op.step, op.count, strict=True)
        where = (slice(None), *(slice(s, s + (c - 1) * k + 1, k) for s, k, c in spans))
        box = x[where]
        if id(op.dst) not in data:
            rest = op.dst.zero if op.dst.dtype is DType.U8 else 0 if op.zero_rest or op.dst.quantized else np.nan
            data[id(op.dst)] = np.full((x.shape[0], *op.dst.dims), rest, x.dtype)
        to = data[id(op.dst)]
        if op.one_pixel:
            to, box = to.reshape(len(to), -1), box.reshape(len(box), -1)
        to[..., op.dst_channel : op.dst_channel + op.count[3]] = box
        return
    if isinstance(op, BPool):
        ones = _pool(Pool("", op.inp, out=op.dst.spatial, geometry=op.geometry), np.where(x, 1.0, -1.0)) > 0
        flip = np.zeros(op.dst.channels, bool) if op.flip is None else unpack_bits(op.flip.data, op.dst.channels)
        data[id(op.dst)] = ones ^ flip
        return
    if isinstance(op, Map):
        acc = np.where(x, np.float32(1), np.float32(-1)) if op.inp.dtype is DType.BITS else x
    elif isinstance(op, Pool):
        acc = _pool(op, x)
    elif isinstance(op, Embed):
        assert op.inp.dtype is DType.I32
        table = np.where(unpack_bits(op.weight.data.reshape(op.rows, -1), op.out_channels), 1, -1).astype(np.float32)
        if op.scale is not None:
            table = table * op.scale.data[:, None]
        acc = table[x[..., 0]]
    else:
        assert isinstance(op, (BConv, FConv, QConv))
        acc = _convolve(op, x)
    assert acc.shape[1:] == out_dims(op), (op.name, acc.shape, out_dims(op))
    _epilogue(op, acc, data)


def _taps(g: Geometry) -> list[tuple[int, tuple[int, int, int]]]:
    return list(enumerate(np.ndindex(*g.kernel)))


def _index(g: Geometry, size: tuple[int, ...], out: tuple[int, ...], tap: tuple[int, ...]) -> tuple[list[Array], Array]:
    """Input coordinates of a tap for each output pixel in each dimension, and which of them lie in the map."""
    coords, inside = [], np.ones((1, 1, 1), dtype=bool)
    for i in range(3):
        o = np.arange(out[i])
        if g.transposed:
            at = o + g.pad_begin[i] - tap[i] * g.dilation[i]
            ok = (at % g.stride[i] == 0) & (at >= 0) & (at // g.stride[i] < size[i])
            at = at // g.stride[i]
        else:
            at = o * g.stride[i] - g.pad_begin[i] + tap[i] * g.dilation[i]
            ok = (at >= 0) & (at < size[i])
        coords.append(np.clip(at, 0, size[i] - 1))
        shape = [1, 1, 1]
        shape[i] = -1
        inside = inside & ok.reshape(shape)
    return coords, inside


def _gather(x: Array, coords: list[Array]) -> Array:
    return x[:, coords[0][:, None, None], coords[1][None, :, None], coords[2][None, None, :], :]


def _convolve(op: BConv | FConv | QConv, x: Array) -> Array:
    g = op.geometry
    groups, row = g.groups, op.inp.channels // g.groups
    outputs = op.out_channels // groups
    if isinstance(op, BConv):
        low = 0 if op.low else -1
        top = (1 << op.inp.planes) - 1
        exact = np.float32 if g.taps * row * top < 1 << 24 else np.float64  # integers that the sum cannot leave
        values = (x if top > 1 else np.where(x, 1, low)).astype(exact)
        if op.depthwise:  # [O/C, taps, C] -> [O, taps, 1]
            rows = unpack_bits(op.weight.data.reshape(outputs, g.taps, -1), op.inp.channels)
            ones = rows.transpose(2, 0, 1).reshape(op.out_channels, g.taps, 1)
        else:
            ones = unpack_bits(op.weight.data.reshape(op.out_channels, g.taps, -1), row)
        weight: Array = np.where(ones, 1, -1)
        weight = weight.astype(exact)
        fill = {PadMode.ZERO: 0, PadMode.ONE: 1, PadMode.MINUS_ONE: low, PadMode.EDGE: 0}[g.pad_mode]
    elif isinstance(op, QConv):
        values = x.astype(np.float64)  # exact: every sum fits int32
        weight = op.weight.data.reshape(op.out_channels, g.taps, row).astype(np.float64)
        fill = 0
    else:
        values = x.astype(np.float64)
        if op.weight.data.dtype == np.uint32:
            weight = np.where(unpack_bits(op.weight.data.reshape(op.out_channels, g.taps, -1), row), 1.0, -1.0)
        else:
            weight = op.weight.data.reshape(op.out_channels, g.taps, row).astype(np.float64)
        fill = 0
    acc = np.zeros((x.shape[0], *op.out, op.out_channels), dtype=values.dtype)
    for t, tap in _taps(g):
        coords, inside = _index(g, op.inp.spatial, op.out, tap)
        picked = _gather(values, coords)
        if g.pad_mode is not PadMode.EDGE:
            picked = np.where(inside[None, ..., None], picked, fill)
        if isinstance(op, QConv) and op.padding is not None:
            acc += np.where(inside[None, ..., None], 0, op.padding.data.reshape(g.taps, -1)[t])
        for k in range(groups):
            part = slice(k * row, (k + 1) * row)
            to = slice(k * outputs, (k + 1) * outputs)
            acc[..., to] += picked[..., part] @ weight[to, t].T
    return acc.astype(np.float32) if isinstance(op, FConv) else acc.astype(np.int64)


def _pool(op: Pool, x: Array) -> Array:
    g = op.geometry
    size = op.inp.spatial
    best = np.full((x.shape[0], *op.out, op.inp.channels), -np.inf, dtype=np.float32)
    total = np.zeros(best.shape, dtype=np.float64)
    count = np.zeros((1, *op.out, 1))
    for _, tap in _taps(g):
        coords, inside = _index(g, size, op.out, tap)
        picked = _gather(x, coords)
        mask = inside[None, ..., None]
        best = np.where(mask, np.maximum(best, picked), best)
        total += np.where(mask, picked, 0)
        if op.kind is PoolKind.AVERAGE_PADDED:
            padded = np.ones((1, 1, 1), dtype=bool)
            for i in range(3):
                at = np.arange(op.out[i]) * g.stride[i] - g.pad_begin[i] + tap[i] * g.dilation[i]
                shape = [1, 1, 1]
                shape[i] = -1
                padded = padded & ((at >= -g.pad_begin[i]) & (at < size[i] + g.pad_end[i])).reshape(shape)
            count += padded[None, ..., None]
        else:
            count += mask
    assert (count > 0).all()
    if op.kind is PoolKind.MAX:
        return best
    if op.inp.quantized:  # the sum is exact; one product, one quotient
        return total.astype(np.float32) * np.float32(op.inp.scale) / count.astype(np.float32)
    return (total / count).astype(np.float32)


def _average(op: Op) -> bool:
    return isinstance(op, Pool) and op.kind is not PoolKind.MAX


def _unary(n: int, x: Array) -> Array:
    y = x.astype(np.float64)
    fn = UnaryFn(n)
    if fn is UnaryFn.ABS:
        r = np.abs(y)
    elif fn is UnaryFn.SIGMOID:
        r = 1 / (1 + np.exp(-y))
    elif fn is UnaryFn.TANH:
        r = np.tanh(y)
    elif fn is UnaryFn.EXP:
        r = np.exp(y)
    elif fn is UnaryFn.SQRT:
        r = np.sqrt(y)
    elif fn is UnaryFn.NEGATE:
        r = -y
    elif fn is UnaryFn.HARDSIGMOID:
        r = np.clip(y + 3, 0, 6) / 6
    elif fn is UnaryFn.ERF:
        r = _erf(y)
    else:
        r = y * 0.5 * (1 + _erf(y / math.sqrt(2)))
    return r.astype(np.float32)


def _flip(s: Step, channels: int) -> Array:
    return np.zeros(channels, dtype=bool) if s.b is None else unpack_bits(s.b.data, channels)


def _epilogue(op: Op, acc: Array, data: dict[int, Array]) -> None:
    channels = acc.shape[-1]
    if op.steps and op.steps[0].kind is StepKind.THRESHOLD:
        (s,) = op.steps
        assert s.a is not None
        assert acc.dtype == np.int64
        data[id(s.value)] = (acc >= s.a.data) ^ _flip(s, channels)
        return
    if op.steps and op.steps[0].kind is StepKind.FIXED:
        fixed.run(op.steps, acc, data)
        return
    if op.inp.dtype is DType.I16 and op.steps and op.steps[0].fixed and op.steps[0].kind is not StepKind.QUANTIZE_I16:
        fixed.run(op.steps, acc, data)
        return
    x = acc.astype(np.float32)
    if op.inp.quantized and isinstance(op, (Map, Pool)) and not _average(op):
        x = x * np.float32(op.inp.scale)
    with np.errstate(all="ignore"):
        for i, s in enumerate(op.steps):
            if s.kind is StepKind.QUANTIZE_I16:
                fixed.run(op.steps[i + 1 :], fixed.quantize(x, s.p0), data)
                return
            a = np.float32(s.p0) if s.a is None else s.a.data
            if s.kind is StepKind.AFFINE:
                x = x * a + (np.float32(s.p1) if s.b is None else s.b.data)
            elif s.kind is StepKind.ADD:
                assert s.value is not None
                other = data[id(s.value)]
                x = x + (other * np.float32(s.value.scale) if s.value.dtype is DType.I16 else other)
            elif s.kind is StepKind.MUL:
                x = x * data[id(s.value)]
            elif s.kind is StepKind.PRELU:
                x = np.where(x >= 0, x, a * x)
            elif s.kind is StepKind.CLAMP:
                x = np.minimum(np.maximum(x, np.float32(s.p0)), np.float32(s.p1))
            elif s.kind is StepKind.UNARY:
                x = _unary(s.n, x)
            elif s.kind is StepKind.STORE:
                data[id(s.value)] = x
            elif s.kind is StepKind.STORE_U8:
                assert s.value is not None
                q = np.rint(x * np.float32(s.p0))  # half to even
                q = np.clip(np.where(np.isnan(q), 0, q), -s.value.zero, 255 - s.value.zero)
                data[id(s.value)] = (q + s.value.zero).astype(np.uint8)
            elif s.kind is StepKind.STORE_LEVELS:
                offset = np.float32(s.p1) if s.b is None else s.b.data
                data[id(s.value)] = levels(x * a + offset, s.n)
            elif s.kind is StepKind.STORE_BITS:
                data[id(s.value)] = (x >= a) ^ _flip(s, channels)
            else:
                raise AssertionError(s.kind)
            assert x.dtype == np.float32
