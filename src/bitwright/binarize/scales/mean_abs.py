"""Scales computed from absolute values: none, per filter, per layer, a power of two."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.scales.base import SCALES, filter_axes


@SCALES.register("none")
def none(weight: Tensor) -> Tensor:
    """1: the weight is ±1 (BNN)."""
    return weight.new_ones((1,) * weight.dim())


@SCALES.register("filter")
def filter_mean_abs(weight: Tensor) -> Tensor:
    """Mean absolute value of each filter: the least-squares scale of XNOR-Net (equation 6)."""
    return weight.abs().mean(dim=filter_axes(weight), keepdim=True)


@SCALES.register("layer")
def layer_mean_abs(weight: Tensor) -> Tensor:
    """Mean absolute value of the whole weight, one number (DoReFa-Net, equation 7)."""
    return weight.abs().mean().view((1,) * weight.dim())


@SCALES.register("power_of_two")
def power_of_two(weight: Tensor) -> Tensor:
    """2^round(log2(mean abs)) of each filter: a shift instead of a multiplication (IR-Net's Libra-PB). 1 for an
    all-zero filter.
    """
    mean = filter_mean_abs(weight).detach()  # a step function has no gradient
    return torch.where(mean > 0, torch.exp2(torch.round(torch.log2(mean))), torch.ones_like(mean))
