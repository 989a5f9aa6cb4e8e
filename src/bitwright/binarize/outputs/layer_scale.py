"""BiPointNet's layer-wise scale recovery: one learned number per layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS
from bitwright.binarize.registry import UnknownNameError

if TYPE_CHECKING:
    from bitwright.binarize.verbs import BinaryModule

STARTS = ("data", "ones")


@OUTPUTS.register("layer_scale")
class LayerScale(OutputRule):
    """`alpha * y`, alpha one learned number.

    Args:
        shape: the layer's shape.
        start: "data": `initialize_from_data` sets alpha = std(real result) / std(binary result) of the first batch, so
            that the binary layer starts with the spread of the real one (1 until then); or "ones".
    """

    def __init__(self, shape: LayerShape, start: str = "data") -> None:
        super().__init__(shape)
        if start not in STARTS:
            raise UnknownNameError("start of the layer scale", start, STARTS)
        self.start = start
        self.needs_data = start == "data"
        self.factor = nn.Parameter(torch.ones(()))

    @torch.no_grad()
    def initialize_from_result(self, y: Tensor, x: Tensor, layer: BinaryModule) -> None:
        real, binary = layer.real_result(x).float().std(), y.float().std()
        if not (torch.isfinite(real) and float(real) > 0 and float(binary) > 0):
            raise ValueError(
                f"the first batch gives a layer result of standard deviation {float(real):g} with real and "
                f"{float(binary):g} with binary values; the scale needs two positive numbers: use more samples"
            )
        self.factor.copy_(real / binary)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y * self.factor

    def channel_scale(self) -> Tensor:
        return self.factor.detach().expand(self.shape.out_channels)

    def extra_repr(self) -> str:
        return f"start={self.start}"
