"""Weights that are all ±scale, one scale an output channel: recovered exactly, never approximated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class SignWeights:
    """`weight[o] == scale[o] * (bits[o] ? 1 : -1)`, exactly."""

    bits: NDArray[np.bool_]  # True: +scale
    scale: F32  # [O]

    @property
    def both_signs(self) -> bool:
        """Whether there are weights of either sign; a constant filter (an average) is no binary weight by itself."""
        return bool(self.bits.any() and not self.bits.all())

    def sums(self) -> NDArray[np.int64]:
        """Sum of the ±1 weights of every output channel."""
        flat = self.bits.reshape(len(self.bits), -1)
        return 2 * flat.sum(axis=1, dtype=np.int64) - flat.shape[1]


def sign_weights(weight: NDArray[Any] | None) -> SignWeights | None:
    """Weights `[O, ...]` as signs and scales; None unless every magnitude of an output channel is the same number."""
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or weight.size == 0:
        return None
    magnitude = np.abs(weight).reshape(len(weight), -1)
    scale = magnitude[:, 0]
    if not np.isfinite(scale).all() or (scale <= 0).any() or not (magnitude == scale[:, None]).all():
        return None
    return SignWeights(weight > 0, scale.copy())
