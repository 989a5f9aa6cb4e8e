"""Layers whose filters come in several versions of one latent filter: which output channel is which."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.part import LayerShape


def copied_shape(shape: LayerShape, copies: int) -> tuple[int, ...]:
    """Shape of the latent weight when `copies` output channels share one latent filter.

    Where `copies` does not divide the channels of a group, the last latent filter of the group has fewer versions.
    """
    if not (isinstance(copies, int) and copies >= 1):
        raise ValueError(f"the number of versions of a filter must be a positive integer, got {copies!r}")
    inside = shape.out_channels // shape.groups
    return (-(-inside // copies) * shape.groups, *shape.filter_shape[1:])


def copied_rows(shape: LayerShape, copies: int) -> tuple[Tensor, Tensor]:
    """(latent filter, version) of every output channel, int64 `[O]`: versions of one filter lie side by side."""
    inside = shape.out_channels // shape.groups
    o = torch.arange(shape.out_channels)
    group, place = o // inside, o % inside
    return group * -(-inside // copies) + place // copies, place % copies
