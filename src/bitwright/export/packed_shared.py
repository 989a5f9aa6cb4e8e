"""A plane of weights that are all 1: its filters differ by their scale alone, so one row of counts serves them all."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bitwright.export.packed import FrozenModule, PackedLayer


class SharedRow(FrozenModule):
    """`scale[o] * row(x)`: what a layer with all-one weights computes, counted once (once per group).

    Args:
        row: a packed layer with one output channel per group, all bits 1, scale 1 and no bias.
        scale: `[O]`.
        spatial: number of spatial axes; 0: a linear layer.
        groups: groups of the layer.
    """

    scale: Tensor

    def __init__(self, row: PackedLayer, scale: Tensor, spatial: int, groups: int = 1) -> None:
        super().__init__(scale=scale)
        self.row, self.spatial, self.groups = row, spatial, groups
        super().train(False)

    @property
    def weight(self) -> Tensor:
        """The row's bits."""
        return self.row.weight

    def forward(self, x: Tensor) -> Tensor:
        count = self.row(x)
        # a product of each output with one number, so it is exact; as a convolution every runtime has it fused
        if self.spatial == 0:
            return F.linear(count, self.scale.unsqueeze(1))
        conv = (F.conv1d, F.conv2d, F.conv3d)[self.spatial - 1]
        return conv(count, self.scale.view(-1, *(1,) * (self.spatial + 1)), groups=self.groups)

    def extra_repr(self) -> str:
        return f"{self.scale.numel()} outputs, groups={self.groups}"
