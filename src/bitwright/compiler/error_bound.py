"""A proven bound of the error of the i16 stream.

For every i16 value, and every float computed from one, `bounds` gives a number E for each channel with

    |q * scale - x| <= E

where x is the value in the program with a float stream, given equal bits and bytes upstream (so that the accumulators
of the binary convolutions are equal) and no saturation. Errors then enter only by rounding: of each convolution's
scale (FIXED, by trying every accumulator that it can produce), of offsets and slopes, of a float rounded to i16. They
add up along the stream, and pass through a PReLU or a float layer scaled by its slope or its weights.

A bit of the next layer is `q * scale >= t`, exactly: it equals the float program's wherever |x - t| > E.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .fixed import mulhrs
from .fixed_point import LIMIT
from .passes.fixed_residual import leading
from .passes.fold_thresholds import evaluate, reachable
from .passes.quantize_layers import real_weight
from .program import (
    BConv,
    Const,
    Copy,
    DType,
    FConv,
    Map,
    Op,
    Pool,
    Program,
    Step,
    StepKind,
    UnaryFn,
    Value,
    out_dims,
)

F64 = npt.NDArray[np.float64]
FLOAT = 2.0**-23  # twice the relative rounding error of a float32 operation
_UNARY = {  # largest slope of each function
    UnaryFn.ABS: 1.0,
    UnaryFn.SIGMOID: 0.25,
    UnaryFn.TANH: 1.0,
    UnaryFn.NEGATE: 1.0,
    UnaryFn.HARDSIGMOID: 1 / 6,
    UnaryFn.ERF: 2 / math.sqrt(math.pi),
    UnaryFn.GELU: 1.13,
}


def bounds(program: Program, before: Mapping[int, list[Step]]) -> dict[int, F64]:
    """id(value) -> E of each channel, for the i16 values and the floats computed from them; for bits: of the number
    that is compared.

    `before` holds the float steps of each rewritten op (id(op) -> steps), as `fixed_residual` gives them. A function
    without a bounded slope (exp, sqrt, a product of two maps) gives infinity.
    """
    errors: dict[int, F64] = {}
    for op in program.ops:
        if isinstance(op, Copy):
            _copy(op, errors)
            continue
        e = _entry(op, errors)
        scale = next((v.scale for v in op.writes() if v.dtype is DType.I16), 0.0)
        if op.steps and op.steps[0].fixed and op.steps[0].kind is not StepKind.QUANTIZE_I16:
            _fixed(op, e, scale, before[id(op)], errors)
        else:
            _float(op, e, scale, errors)
    return {k: e for k, e in errors.items() if e.any()}


def _of(errors: Mapping[int, F64], v: Value | None) -> F64:
    assert v is not None
    exact = v.dtype in (DType.BITS, DType.U8)  # given equal ones
    return np.zeros(v.channels) if exact else errors.get(id(v), np.zeros(v.channels))


def _entry(op: Op, errors: Mapping[int, F64]) -> F64:
    """Bound of x at the start of the op's steps."""
    channels = out_dims(op)[3]
    if isinstance(op, (Pool, Map)):
        e = _of(errors, op.inp)
        return e + FLOAT * LIMIT * op.inp.scale if isinstance(op, Pool) and e.any() else e
    if isinstance(op, FConv) and id(op.inp) in errors:
        groups = op.geometry.groups
        per_group = np.repeat(_of(errors, op.inp).reshape(groups, -1), channels // groups, axis=0)
        return (np.abs(real_weight(op)) * per_group[:, None, :]).sum(axis=(1, 2))
    return np.zeros(channels)


def _copy(op: Copy, errors: dict[int, F64]) -> None:
    e = _of(errors, op.inp)
    first = op.start[3]
    to = errors.setdefault(id(op.dst), np.zeros(op.dst.channels))
    at = op.dst_channel % op.dst.channels
    span = to[at : at + op.count[3]]
    # the pixels of a stack are filled one by one: the bound of a channel is that of its worst pixel
    span[:] = np.maximum(span if op.one_pixel else 0, e[first :: op.step[3]][: op.count[3]])


def _row(const: Const | None, scalar: float) -> F64:
    return np.atleast_1d(np.float64(np.float32(scalar)) if const is None else const.data.astype(np.float64))


def _fixed(op: Op, e: F64, scale: float, floats: list[Step], errors: dict[int, F64]) -> None:
    steps, pairs = op.steps, floats
    if isinstance(op, BConv):
        n = leading(floats)
        e = e + first_error(op, op.steps[0], floats[:n], scale)
        steps, pairs = op.steps[1:], floats[n:]
    for s, f in zip(steps, pairs, strict=True):
        if not s.stores:
            e = e + FLOAT * LIMIT * scale  # the float step's own rounding
        if s.kind is StepKind.ADD_I16:
            e = e + _of(errors, s.value)
        elif s.kind is StepKind.BIAS_I16:
            e = e + np.abs(_row(s.b, 0.0) * scale - _row(f.b, f.p1))
        elif s.kind is StepKind.PRELU_I16:
            real, near = _row(f.a, f.p0), _row(s.a, 0.0) * 2.0**s.n / 2**15
            below = np.abs(real) * e + (np.abs(real - near) * (LIMIT + 1) + 0.5 * 2**s.n) * scale
            e = np.maximum(e, below)
        elif s.kind is StepKind.CLAMP_I16:
            ends = [abs(q * scale - p) for q, p in ((s.p0, f.p0), (s.p1, f.p1)) if abs(p) <= LIMIT * scale]
            e = e + max(ends, default=0.0)
        elif s.kind in (StepKind.STORE_I16, StepKind.STORE_BITS_I16):
            errors[id(s.value)] = e


def first_error(op: BConv, step: Step, affines: list[Step], scale: float) -> F64:
    """Largest |FIXED(acc) * scale - float(acc)| over the accumulators that do not saturate, for each channel."""
    assert step.a is not None
    low, high = reachable(op)
    m, b = step.a.data.astype(np.int64), 0 if step.b is None else step.b.data.astype(np.int64)
    before, after = step.n & 0xFF, step.n >> 8
    worst = np.zeros(op.out_channels)
    for start in range(low, high + 1, 512):
        acc = np.arange(start, min(start + 512, high + 1), dtype=np.int64)[:, None]
        scaled = mulhrs(acc << before, m) << after
        q = scaled + b
        exact = evaluate(affines, np.broadcast_to(acc, q.shape)).astype(np.float64)
        fits = (np.abs(q) <= LIMIT) & (np.abs(scaled) <= LIMIT)
        worst = np.maximum(worst, np.where(fits, np.abs(q * scale - exact), 0.0).max(axis=0))
    return worst


def _float(op: Op, e: F64, scale: float, errors: dict[int, F64]) -> None:
    for s in op.steps:
        if s.kind is StepKind.AFFINE:
            e = np.abs(_row(s.a, s.p0)) * e
        elif s.kind is StepKind.ADD:
            other = _of(errors, s.value)
            e = e + other + (FLOAT * LIMIT * s.value.scale if s.value is not None and other.any() else 0.0)
        elif s.kind is StepKind.PRELU:
            e = np.maximum(1.0, np.abs(_row(s.a, s.p0))) * e
        elif s.kind is StepKind.UNARY:
            slope = _UNARY.get(UnaryFn(s.n))
            e = np.where(e > 0, np.inf, 0.0) if slope is None else slope * e
        elif s.kind is StepKind.MUL:
            e = np.where(e + _of(errors, s.value) > 0, np.inf, 0.0)
        elif s.kind is StepKind.QUANTIZE_I16:
            e = e + 0.5 * scale + 2 * FLOAT * LIMIT * scale
        elif s.stores:
            errors[id(s.value)] = e + np.zeros(out_dims(op)[3])
        if e.any() and s.kind in (StepKind.AFFINE, StepKind.PRELU):
            e = e + FLOAT * np.abs(e)


__all__ = ["bounds", "first_error"]
