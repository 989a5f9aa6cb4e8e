"""Statistics of a tensor that arrives in batches, and the range that a u8 value should cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = np.ndarray[Any, Any]
F64 = npt.NDArray[np.float64]

BINS = 4096
LEVELS = 255
_GRID = 32  # candidates for each end of the range, from a quarter of the extreme to the extreme


class Histogram:
    """Counts in `BINS` equal bins over [-reach, reach), where reach is a power of two that doubles as needed; also
    the exact extremes, and mean square by channel. So one pass over the samples is enough."""

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self.reach = 0.0
        self.low = 0.0
        self.high = 0.0
        self.elements = 0
        self._squares: F64 | None = None

    def add(self, x: Array) -> None:
        """One more batch [N, D, H, W, C], finite."""
        flat = x.reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._grow(max(-low, high))
        if self.reach:
            at = ((flat.astype(np.float64) + self.reach) * (BINS / (2 * self.reach))).astype(np.int64)
            self.counts += np.bincount(np.minimum(at, BINS - 1), minlength=BINS)
        else:
            self.counts[BINS // 2] += flat.size
        squares = np.square(x, dtype=np.float64).reshape(-1, x.shape[-1]).sum(axis=0)
        self._squares = squares if self._squares is None else self._squares + squares
        self.elements += flat.size

    def _grow(self, largest: float) -> None:
        if largest == 0:
            return
        reach = float(2.0 ** (np.floor(np.log2(largest)) + 1))
        if not self.reach:
            # everything so far was 0, which lies in the middle bin of every reach
            self.reach = reach
        while self.reach < reach:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, dtype=np.int64)
            self.counts[BINS // 4 : BINS // 4 + BINS // 2] = pairs
            self.reach *= 2

    @property
    def mean_squares(self) -> F64:
        """Mean of x² of each channel."""
        if self._squares is None:
            raise ValueError("no sample was added")
        return self._squares * (self._squares.size / self.elements)

    @property
    def largest(self) -> float:
        """Largest magnitude."""
        return max(-self.low, self.high)

    def centres(self) -> F64:
        """Middle of each bin."""
        return np.asarray((np.arange(BINS) + 0.5) * (2 * self.reach / BINS) - self.reach, dtype=np.float64)

    def outside(self, low: float, high: float) -> float:
        """Share of the elements in bins whose middle lies outside [low, high]."""
        c = self.centres()
        return float(self.counts[(c < low) | (c > high)].sum() / max(self.elements, 1))


def u8_range(h: Histogram) -> tuple[float, float]:
    """The range [low, high], with low <= 0 <= high, whose 256 levels give the smallest mean square error.

    Searched over a grid of both ends (our choice; the criterion is the usual one for post-training quantization,
    e.g. Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1). The extremes themselves are
    a candidate: short tensors keep them.
    """
    used = h.counts > 0
    x, n = h.centres()[used], h.counts[used].astype(np.float64)
    x = np.clip(x, h.low, h.high)
    shares = np.linspace(0.25, 1.0, _GRID)
    lows = h.low * shares if h.low < 0 else np.zeros(1)
    highs = h.high * shares if h.high > 0 else np.zeros(1)
    best = (float("inf"), h.low, h.high)
    for low in lows:
        for high in highs:
            scale = (high - low) / LEVELS
            if scale <= 0:
                continue
            clipped = np.clip(x, low, high)
            # inside the range the error of rounding to a grid of this step is uniform: step² / 12
            error = float((n * np.square(x - clipped)).sum() + (n * (x == clipped)).sum() * scale * scale / 12)
            if error < best[0]:
                best = (error, float(low), float(high))
    return best[1], best[2]


def u8_parameters(low: float, high: float) -> tuple[float, int]:
    """(scale, zero) of a u8 value that covers [low, high] and holds 0 exactly.

    The scale is a float32, as the file stores it. A tensor that is 0 everywhere gets the scale 1.
    """
    if not high > low:
        return 1.0, 0
    scale = float(np.float32((high - low) / LEVELS))
    if not scale > 0:  # denormal
        return 1.0, 0
    zero = int(np.clip(np.rint(-low / scale), 0, LEVELS))
    return scale, zero


__all__ = ["BINS", "Histogram", "u8_parameters", "u8_range"]
