"""Si-BNN's activation: 0 or 1, with a learned threshold and steepness per channel."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32


@ACTIVATIONS.register("threshold")
class ThresholdActivation(ActivationBinarizer):
    """1 where `x >= center`, else `low`; the gradient is the estimator's at `z = (x - center) |slope|`.

    `center` (0 at the start) and `slope` (1) are learned per channel; neither takes weight decay. The steepness only
    shapes the gradient: its absolute value is taken, so that it cannot turn a comparison around.

    Args:
        shape: the layer's shape.
        estimator: backward rule, evaluated at z.
        low: lower level, 0 or -1.
    """

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "halfrange", low: float = 0.0) -> None:
        super().__init__(shape)
        if low not in (-1.0, 0.0):
            raise ValueError(f"the lower level of an activation is -1 or 0, got {low}")
        self.estimator = make_estimator(estimator)
        self.low = float(low)
        self.center = nn.Parameter(torch.zeros(shape.in_channels))
        self.slope = nn.Parameter(torch.ones(shape.in_channels))

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        return {"center": {"weight_decay": 0.0}, "slope": {"weight_decay": 0.0}}

    def _affine(self, x: Tensor) -> Tensor:
        wide = at_least_float32(x)
        center, slope = self.shape.per_channel(self.center), self.shape.per_channel(self.slope)
        return (wide - center.to(wide.dtype)) * slope.abs().to(wide.dtype)

    def forward(self, x: Tensor) -> Tensor:
        center = self.shape.per_channel(self.center.detach())
        value = torch.where(at_least_float32(x.detach()) >= center, 1.0, self.low)
        z = self._affine(x)
        out: Tensor = self.estimator(z, value.to(z.dtype))
        return out.to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        return self._affine(x).to(x.dtype).clamp(self.low, 1)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        return (ActivationCode(threshold=self.center.detach().float() + 0.0, low=self.low),)

    def extra_repr(self) -> str:
        return f"low={self.low:g}, channels={self.center.numel()}"
