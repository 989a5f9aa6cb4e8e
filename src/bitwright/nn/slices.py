"""BoolNet's slices: one map several times over, for thresholds of its own each time."""

from __future__ import annotations

from torch import Tensor


def repeat_slices(x: Tensor, slices: int) -> Tensor:
    """`[N, C, ...]` to `[N, slices * C, ...]`: the map once for every slice, slice after slice.

    Raises:
        ValueError: fewer than 1 slice.
    """
    if slices < 1:
        raise ValueError(f"slices must be at least 1, got {slices}")
    return x.repeat(1, slices, *(1,) * (x.dim() - 2))
