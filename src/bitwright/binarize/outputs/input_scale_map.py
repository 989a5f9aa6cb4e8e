"""XNOR-Net's K."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS


@OUTPUTS.register("input_scale_map")
class InputScaleMap(OutputRule):
    """XNOR-Net's K: the output is multiplied by the mean absolute input under each window (a constant for the
    gradient).

    `A = mean over the group's channels of |x|`, `K = A * box filter` with the layer's own stride, padding and
    dilation; padding of ±1 counts with absolute value 1. For a linear layer K is the mean over the features. K depends
    on the input, so it cannot be folded.

    Raises:
        ValueError: for layers that have no window over their input.
    """

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape)
        if shape.kind not in ("conv", "linear"):
            raise ValueError(f"XNOR-Net's K is defined for convolutions and linear layers, not for {shape.kind!r}")

    @torch.no_grad()
    def scale_map(self, x: Tensor) -> Tensor:
        """K: `[N, O, ...]`-broadcastable, `[N, groups -> O, *out]`, or `[..., 1]` for a linear layer."""
        s = self.shape
        magnitude = x.detach().float().abs()
        if s.kind == "linear":
            return magnitude.mean(-1, keepdim=True)
        a = magnitude.unflatten(1, (s.groups, -1)).mean(2)
        pads = [
            p for begin, end in zip(reversed(s.pads_begin), reversed(s.pads_end), strict=True) for p in (begin, end)
        ]
        if any(pads):
            if s.pad_mode == "replicate":
                a = F.pad(a, pads, mode="replicate")
            else:
                a = F.pad(a, pads, value=abs(s.pad_value))
        box = a.new_full((s.groups, 1, *s.kernel_size), 1 / math.prod(s.kernel_size))
        conv = (F.conv1d, F.conv2d, F.conv3d)[len(s.kernel_size) - 1]
        k = conv(a, box, None, s.stride, 0, s.dilation, s.groups)
        return k.repeat_interleave(s.out_channels // s.groups, dim=1)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y * self.scale_map(x).to(y.dtype)
