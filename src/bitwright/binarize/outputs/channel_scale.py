"""One learned factor per output channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS
from bitwright.binarize.registry import UnknownNameError

STARTS = ("ones", "mean_abs", "uniform")


@OUTPUTS.register("channel_scale")
class ChannelScale(OutputRule):
    """A learned factor per output channel, starting at 1, at the mean absolute weight or at random.

    Args:
        shape: the layer's shape.
        start: "ones", "mean_abs" (set from the latent weight whenever that is set anew) or "uniform", U(0, 1).
    """

    def __init__(self, shape: LayerShape, start: str = "ones") -> None:
        super().__init__(shape)
        if start not in STARTS:
            raise UnknownNameError("start of the channel scale", start, STARTS)
        self.start = start
        self.factor = nn.Parameter(torch.ones(shape.out_channels))
        if start == "uniform":
            nn.init.uniform_(self.factor)

    @torch.no_grad()
    def on_latent(self, latent: Tensor) -> None:
        if self.start == "mean_abs":
            self.factor.copy_(latent.detach().abs().flatten(1).mean(1))

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y * self.shape.per_channel(self.factor)

    def channel_scale(self) -> Tensor:
        return self.factor.detach()
