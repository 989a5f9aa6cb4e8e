"""How the output maps of packed operators lie in memory: on CUDA channels last, as the kernels write them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def channels_last(y: Tensor) -> Tensor:
    """The same map `[N, C, *S]` with its channels side by side in memory."""
    return y.movedim(1, -1).contiguous().movedim(-1, 1)


def empty_map(x: Tensor, shape: Sequence[int]) -> Tensor:
    """An output `[N, O, *S']` for the input x, not filled."""
    if x.device.type != "cuda":
        return x.new_empty(shape)
    outer, channels, *inner = shape
    return x.new_empty((outer, *inner, channels)).movedim(-1, 1)
