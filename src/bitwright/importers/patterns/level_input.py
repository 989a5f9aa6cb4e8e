"""How a Level layer reads a tensor of k-bit levels: `u = clip(rint(x * gain + offset), 0, 2^bits - 1)`, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .signals import MAX_BITS, Levels, Rounded


@dataclass(frozen=True)
class LevelInput:
    """`tensor` read with gain and offset gives u = q - base for the levels q of a `Levels`."""

    tensor: str
    gain: float
    offset: float
    base: int
    bits: int
    clip: tuple[int, int] | None  # the tensor must be clipped first: fewer levels than 2^bits
    behind_path: bool  # the tensor lies in front of the levels' path, which it must follow

    def pad(self, q: float) -> np.float32:
        """The value of the tensor that is read as level q."""
        return np.float32((q - self.base - self.offset) / self.gain)


def level_input(levels: Levels) -> LevelInput | None:
    """None when the levels need more than 8 bits.

    Rounding is half to even, so `rint(x + offset)` is `rint(x) + offset` for even offsets only: `base` has the parity
    that makes it even.
    """
    origin = levels.origin
    shift = levels.shift if isinstance(origin, Rounded) else 0
    base = levels.low - ((levels.low - shift) % 2)
    bits = max((levels.high - base).bit_length(), 1)
    if bits > MAX_BITS:
        return None
    if not isinstance(origin, Rounded):
        # scale * q is off by half a unit in the last place; times 1/scale it still rounds to q.
        return LevelInput(levels.tensor, float(np.float32(1 / levels.scale)), float(-base), base, bits, None, False)
    full = levels.low == base and levels.high - base == (1 << bits) - 1
    clip = None if full else (origin.low, origin.high)
    return LevelInput(origin.root, 1.0, float(shift - base), base, bits, clip, True)
