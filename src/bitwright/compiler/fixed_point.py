"""Constants for the i16 steps: real factors as 15 fractional bits and a shift. `fixed.py` holds the arithmetic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

LIMIT = 32767
ONE = 1 << 15  # a factor m stands for m / ONE
MAX_SLOPE_SHIFT = 3  # a slope below 8: beyond it the shifted rounding error is too coarse (our choice)


def factors(real: F64, limit: int) -> tuple[I64, int] | None:
    """(m, n) with real ~ m * 2^n / 2^15, |m| <= 32767, with the smallest n in [0, limit]; None if none is enough."""
    for n in range(limit + 1):
        m = np.rint(real * (ONE / 2.0**n))
        if np.abs(m).max(initial=0) <= LIMIT:
            return m.astype(np.int64), n
    return None


def room(k: int) -> int:
    """How far accumulators up to k may be shifted to the left in 16 bits; below 0 if they do not fit themselves."""
    n = -1
    while n < 15 and k << (n + 1) <= LIMIT:
        n += 1
    return n


__all__ = ["LIMIT", "MAX_SLOPE_SHIFT", "factors", "room"]
