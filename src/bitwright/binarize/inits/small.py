"""Initial values near 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.inits.base import INITS
from bitwright.binarize.part import LayerShape


@INITS.register("small_normal")
@torch.no_grad()
def small_normal(weight: Tensor, shape: LayerShape) -> None:
    """N(0, 0.001), BNext (code read)."""
    weight.normal_(0, 1e-3)


@INITS.register("small_fan_out")
@torch.no_grad()
def small_fan_out(weight: Tensor, shape: LayerShape) -> None:
    """N(0, 0.01 sqrt(2 / fan_out)), fan_out = outputs per group times kernel positions, BoolNet (code read)."""
    fan_out = shape.out_channels // shape.groups * math.prod(shape.kernel_size)
    weight.normal_(0, 0.01 * math.sqrt(2 / fan_out))
