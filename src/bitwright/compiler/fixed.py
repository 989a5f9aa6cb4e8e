"""The i16 fixed-point steps of a `.bwm` file in numpy, by the words of docs/bwm.md: exact, so the engine gives the same
bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .packing import unpack_bits
from .program import Step, StepKind

Array = npt.NDArray[Any]


def saturate(x: Array) -> Array:
    """The nearest int16; the result is int64 so that it can be computed with."""
    return np.clip(x, -32768, 32767).astype(np.int64)


def mulhrs(p: Array, q: Array) -> Array:
    """`(p*q + 2^14) >> 15`: the product of two numbers with 15 fractional bits, rounded half up. `|q| <= 32767`."""
    return (p.astype(np.int64) * q.astype(np.int64) + (1 << 14)) >> 15


def quantize(x: Array, factor: float) -> Array:
    """`sat16(rint(x * factor))` in float32, half to even, NaN gives 0."""
    with np.errstate(all="ignore"):
        y = np.rint(x.astype(np.float32) * np.float32(factor))
    return saturate(np.nan_to_num(y, nan=0.0, posinf=32767, neginf=-32768))


def run(steps: Sequence[Step], acc: Array, data: dict[int, Array]) -> None:
    """Runs a chain of i16 steps on integers `[N, D, H, W, C]` and stores what it writes under id(value).

    `acc` holds the accumulators if the first step is FIXED, else int16 values.
    """
    x = acc.astype(np.int64)
    for s in steps:
        a = np.zeros(1, np.int64) if s.a is None else s.a.data
        b = np.zeros(1, np.int64) if s.b is None or s.stores_bits else s.b.data
        if s.kind is StepKind.FIXED:
            x = saturate(mulhrs(x << (s.n & 255), a) << (s.n >> 8))
            x = saturate(x + b)
        elif s.kind is StepKind.ADD_I16:
            x = saturate(x + data[id(s.value)])
        elif s.kind is StepKind.PRELU_I16:
            x = np.where(x >= 0, x, saturate(mulhrs(x, a) << s.n))
        elif s.kind is StepKind.BIAS_I16:
            x = saturate(x + b)
        elif s.kind is StepKind.CLAMP_I16:
            x = np.clip(x, int(s.p0), int(s.p1))
        elif s.kind is StepKind.STORE_I16:
            data[id(s.value)] = x.astype(np.int16)
        elif s.kind is StepKind.STORE_BITS_I16:
            flip = np.zeros(x.shape[-1], bool) if s.b is None else unpack_bits(s.b.data, x.shape[-1])
            data[id(s.value)] = (x >= a) ^ flip
        else:
            raise ValueError(f"{s.kind.name} is not a step on i16 values")
