"""A learned factor per channel and a squeeze-and-excitation gate fed by the layer's input (EBNN)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS


@OUTPUTS.register("scaled_gate")
class ScaledGate(OutputRule):
    """`alpha_o y_o sigmoid(W2 relu(W1 mean(x)))_o`, the mean over a sample's positions; no biases, alpha starts at 1.

    Args:
        shape: the layer's shape.
        reduction: W1 has `out_channels / reduction` rows, at least `least`.
        least: ours; keeps a ReLU alive in layers with few channels.
    """

    def __init__(self, shape: LayerShape, reduction: int = 8, least: int = 4) -> None:
        super().__init__(shape)
        if reduction < 1 or least < 1:
            raise ValueError(f"need reduction >= 1 and least >= 1, got reduction={reduction}, least={least}")
        hidden = max(int(least), shape.out_channels // int(reduction))
        self.factor = nn.Parameter(torch.ones(shape.out_channels))
        self.squeeze = nn.Parameter(torch.empty(hidden, shape.in_channels))
        self.excite = nn.Parameter(torch.empty(shape.out_channels, hidden))
        for weight in (self.squeeze, self.excite):
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        z = x.to(y.dtype)
        mean = tuple(range(2, z.dim())) if self.shape.channel_dim == 1 else tuple(range(1, z.dim() - 1))
        z = z.mean(mean) if mean else z
        gate = torch.sigmoid(F.linear(F.relu(F.linear(z, self.squeeze.to(z.dtype))), self.excite.to(z.dtype)))
        gate = gate * self.factor.to(y.dtype)
        ones = (1,) * (y.dim() - 2)
        return y * (
            gate.view(*gate.shape, *ones) if self.shape.channel_dim == 1 else gate.view(gate.shape[0], *ones, -1)
        )
