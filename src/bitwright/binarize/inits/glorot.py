"""Uniform between the bounds that the layer's size gives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.inits.base import INITS
from bitwright.binarize.part import LayerShape


@INITS.register("glorot_uniform")
@torch.no_grad()
def glorot_uniform(weight: Tensor, shape: LayerShape) -> None:
    """U(-b, b), b = sqrt(1.5 / (n_in + n_out)), n_out = out_channels times the kernel's taps: LAB (code read)."""
    taps = math.prod(shape.kernel_size)
    bound = math.sqrt(1.5 / (taps * (shape.in_channels // shape.groups + shape.out_channels)))
    weight.uniform_(-bound, bound)
