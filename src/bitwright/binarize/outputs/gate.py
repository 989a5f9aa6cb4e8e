"""Real-to-Binary's data-driven channel gate."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS


@OUTPUTS.register("gate")
class Gate(OutputRule):
    """`y * sigmoid(W2 relu(W1 mean(x)))`: one factor per sample and output channel from the layer's real input x.

    The mean is over the positions of a map; a linear layer's gate reads each row itself. It stays at inference: a
    global mean and two small real products per sample.

    Args:
        shape: the layer's shape.
        reduction: W1 is `[in_channels / reduction, in_channels]`, with at least `least` rows; no biases, He-normal.
        least: ours; keeps a ReLU alive in layers with few channels.
    """

    def __init__(self, shape: LayerShape, reduction: int = 8, least: int = 4) -> None:
        super().__init__(shape)
        if reduction < 1 or least < 1:
            raise ValueError(f"need reduction >= 1 and least >= 1, got reduction={reduction}, least={least}")
        hidden = max(int(least), shape.in_channels // int(reduction))
        self.squeeze = nn.Parameter(torch.empty(hidden, shape.in_channels))
        self.excite = nn.Parameter(torch.empty(shape.out_channels, hidden))
        for weight in (self.squeeze, self.excite):
            nn.init.normal_(weight, 0, math.sqrt(2 / weight.shape[1]))

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        z = x.to(y.dtype)
        spatial = tuple(range(2, z.dim())) if self.shape.kernel_size else ()
        if spatial:
            z = z.mean(dim=spatial)
        hidden = F.relu(F.linear(z, self.squeeze.to(z.dtype)))
        factor = torch.sigmoid(F.linear(hidden, self.excite.to(z.dtype)))
        return y * factor.view(*factor.shape, *(1,) * len(spatial))

    def extra_repr(self) -> str:
        return f"{self.squeeze.shape[1]} -> {self.squeeze.shape[0]} -> {self.excite.shape[0]}"
