"""Si-BNN's narrow start."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.inits.base import INITS
from bitwright.binarize.part import LayerShape


@INITS.register("normal_fan_in")
@torch.no_grad()
def normal_fan_in(weight: Tensor, shape: LayerShape) -> None:
    """N(0, 1 / fan_in^2): the standard deviation is 1/n, not 1/sqrt(n); Si-BNN (code read)."""
    weight.normal_(0, 1 / shape.fan_in)
