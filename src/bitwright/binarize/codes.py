"""What a binarizer tells deployment: bits and the numbers that turn them into values."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


class NotPackableError(RuntimeError):
    """The layer cannot be expressed as one plane of bits; the message says why and what to do."""


@dataclass(frozen=True)
class WeightCode:
    """One bit plane of a weight: `scale[o] * (2 * bits - 1)`."""

    bits: Tensor  # bool, filter form [O, I/groups, *kernel]
    scale: Tensor  # float32 [O]


@dataclass(frozen=True)
class ActivationCode:
    """One bit plane of an activation: `scale * (1 if x >= threshold else low)`; NaN counts as not `>=`."""

    threshold: Tensor  # float32 [C] or [1]
    low: float  # -1.0 (±1) or 0.0 ({0,1})
    scale: float | Tensor = 1.0  # float or a tensor [1]


@dataclass(frozen=True)
class LevelsCode:
    """An activation of 2^bits levels: `scale * clamp(rint(gain * x + offset), 0, 2^bits - 1)`, ties to even, NaN: 0.

    `bits` planes of {0,1} with weights 1, 2, 4, ...
    """

    bits: int
    gain: Tensor  # float32 [C] or [1]
    offset: Tensor  # float32 [C] or [1]
    scale: float | Tensor  # float or a tensor [1]

    @property
    def top(self) -> int:
        """The highest level, 2^bits - 1."""
        return (1 << self.bits) - 1
