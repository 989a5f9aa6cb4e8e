"""Bits of packed weights as tensors, without checks: the operators have checked shapes already.

`bitwright.nn.packing` packs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def unpack_rows(packed: Tensor, channels: int) -> Tensor:
    """uint8 `[..., bytes]` to bool `[..., channels]`."""
    places = torch.arange(8, dtype=torch.uint8, device=packed.device)
    bits = (packed.unsqueeze(-1) >> places) & 1
    return bits.flatten(-2)[..., :channels].bool()


def unpack_filters(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """uint8 `[R, taps, bytes]` (or `[R, bytes]`) to bool of shape `shape` = (R, channels, *kernel)."""
    bits = unpack_rows(packed, shape[1])
    return bits if len(shape) == 2 else bits.transpose(1, 2).reshape(shape)


def exchange_channels(weight: Tensor, groups: int) -> Tensor:
    """A transposed convolution's weight `[C, O/groups, *kernel]` to gather form `[O, C/groups, *kernel]`, or back.

    Taps keep their order (not flipped).
    """
    return weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
