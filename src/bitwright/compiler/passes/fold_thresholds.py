"""Turns `convolution, scale, batch norm, ..., threshold` into one integer comparison per channel.

The float expression is evaluated on integer accumulators exactly as the unfused steps would (float32, the same order
of operations), so
the bit equals the one of the float chain. The steps are monotone in the accumulator, also after rounding, so a
bisection over the
reachable accumulators finds the threshold. A falling chain (gamma < 0) flips the comparison; a flat one (gamma = 0)
is a constant bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..packing import pack_bits, unpack_bits
from ..program import BConv, Const, Program, Step, StepKind

F32 = npt.NDArray[np.float32]


def fold_thresholds(program: Program) -> None:
    """Rewrites every BCONV whose only result is one bits value and whose steps are monotone."""
    for op in program.ops:
        if isinstance(op, BConv) and _foldable(op.steps) and _monotone(op):
            op.steps = [_fold(op)]


def _foldable(steps: list[Step]) -> bool:
    *chain, last = steps
    return last.kind is StepKind.STORE_BITS and monotone(chain)


def monotone(chain: list[Step]) -> bool:
    """Whether every step of the chain is monotone in each channel, whatever its parameters."""
    for s in chain:
        if s.kind is StepKind.PRELU:
            slope = np.float32(s.p0) if s.a is None else s.a.data
            if np.any(slope < 0):
                return False
        elif s.kind not in (StepKind.AFFINE, StepKind.CLAMP):
            return False
    return True


def _monotone(op: BConv) -> bool:
    """No NaN: where a step overflows, inf * 0 or inf - inf would break the monotony, and it would show at the ends
    first."""
    ends = np.array([[n] * op.out_channels for n in reachable(op)], dtype=np.int64)
    return not bool(np.isnan(evaluate(op.steps[:-1], ends)).any())


def reachable(op: BConv) -> tuple[int, int]:
    """Smallest and largest accumulator that the op can produce: levels reach 2^planes - 1."""
    k = op.geometry.taps * (op.inp.channels // op.geometry.groups) * ((1 << op.inp.planes) - 1)
    return -k, k


def evaluate(steps: list[Step], acc: npt.NDArray[Any]) -> F32:
    """The monotone steps on accumulators or floats `[..., C]`, in float32, one rounding an operation."""
    x = acc.astype(np.float32)
    with np.errstate(all="ignore"):
        for s in steps:
            if s.kind is StepKind.AFFINE:
                x = x * _param(s.a, s.p0) + _param(s.b, s.p1)
            elif s.kind is StepKind.PRELU:
                x = np.where(x >= 0, x, _param(s.a, s.p0) * x)
            elif s.kind is StepKind.CLAMP:
                x = np.minimum(np.maximum(x, np.float32(s.p0)), np.float32(s.p1))
            else:
                raise AssertionError(f"{s.kind.name} is not monotone")
            assert x.dtype == np.float32
    return x


def _param(const: Const | None, scalar: float) -> F32 | np.float32:
    return np.float32(scalar) if const is None else const.data


def _fold(op: BConv) -> Step:
    *chain, last = op.steps
    assert last.value is not None
    channels = op.out_channels
    threshold = np.broadcast_to(_param(last.a, last.p0), channels)
    low, high = reachable(op)

    inverted = np.zeros(channels, np.bool_) if last.b is None else unpack_bits(last.b.data, channels)

    def bit(acc: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return np.asarray((evaluate(chain, acc) >= threshold) ^ inverted)

    lo = np.full(channels, low, dtype=np.int64)
    hi = np.full(channels, high, dtype=np.int64)
    first, final = bit(lo), bit(hi)
    # Invariant: bit(lo) == first, bit(hi) == final; where they differ the step lies in (lo, hi].
    active = first != final
    while np.any(active & (hi - lo > 1)):
        middle = (lo + hi) // 2
        same = bit(middle) == first
        lo = np.where(active & same, middle, lo)
        hi = np.where(active & ~same, middle, hi)
    # rising: bit = acc >= hi. falling: bit = not (acc >= hi). constant: a threshold below every accumulator, flipped
    # if 0.
    limit = np.where(active, hi, low).astype(np.int32)
    flip = first.copy()
    flip[~active] = ~first[~active]
    words = Const(pack_bits(flip)) if flip.any() else None
    return Step(StepKind.THRESHOLD, last.value, Const(limit), words)


__all__ = ["evaluate", "fold_thresholds", "monotone", "reachable"]
