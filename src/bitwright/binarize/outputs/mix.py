"""ReLU and a 1x1 convolution behind a bank of filters (LBCNN)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS


@OUTPUTS.register("mix")
class Mix(OutputRule):
    """`sum_i V[o, i] relu(y_i)`: the convolution computes `channels` maps, a learned 1x1 convolution combines them.

    With groups the combination stays inside each group. V starts as torch's own convolutions do.

    Args:
        shape: the layer's shape.
        channels: maps of the convolution (a multiple of the groups); None: as many as the layer's outputs.
        relu: whether the maps are rectified first.
    """

    def __init__(self, shape: LayerShape, channels: int | None = None, relu: bool = True) -> None:
        super().__init__(shape)
        self.channels = shape.out_channels if channels is None else int(channels)
        if self.channels < 1 or self.channels % shape.groups:
            raise ValueError(f"channels must be a positive multiple of groups={shape.groups}, got {channels}")
        self.relu = bool(relu)
        inside = self.channels // shape.groups
        self.weight = nn.Parameter(torch.empty(shape.out_channels, inside).uniform_(-1, 1) / math.sqrt(inside))

    def inner_shape(self) -> LayerShape:
        return self.shape.with_outputs(self.channels)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        y = F.relu(y) if self.relu else y
        weight = self.weight.to(y.dtype)
        if self.shape.channel_dim != 1:
            return F.linear(y, weight)
        ones = (1,) * len(self.shape.kernel_size)
        conv = (F.conv1d, F.conv2d, F.conv3d)[len(ones) - 1]
        return conv(y, weight.view(*weight.shape, *ones), groups=self.shape.groups)

    def extra_repr(self) -> str:
        return f"channels={self.channels}, relu={self.relu}"
