"""Initial values drawn from one distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.inits.base import INITS
from bitwright.binarize.part import LayerShape


@INITS.register("default")
@torch.no_grad()
def default(weight: Tensor, shape: LayerShape) -> None:
    """U(-b, b) with b = 1/sqrt(fan_in), what `torch.nn` does for its own layers."""
    bound = 1 / math.sqrt(shape.fan_in)
    weight.uniform_(-bound, bound)


@INITS.register("uniform")
@torch.no_grad()
def uniform(weight: Tensor, shape: LayerShape) -> None:
    """U(-1, 1), BinaryConnect and BNN (code read)."""
    weight.uniform_(-1, 1)


@INITS.register("he")
@torch.no_grad()
def he(weight: Tensor, shape: LayerShape) -> None:
    """N(0, sqrt(2 / fan_in)), XNOR-Net (code read)."""
    weight.normal_(0, math.sqrt(2 / shape.fan_in))


@INITS.register("tiny_positive")
@torch.no_grad()
def tiny_positive(weight: Tensor, shape: LayerShape) -> None:
    """U(0, 0.001): the PyTorch code of Bi-Real Net and ReActNet. All binary weights start at +1."""
    weight.uniform_(0, 1e-3)
