"""Ternary activations with a threshold from every sample's mean absolute value (TBN)."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32


@ACTIVATIONS.register("ternary")
class TernaryActivation(ActivationBinarizer):
    """+1 where `x >= delta`, -1 where `x <= -delta`, else 0; `delta = ratio * mean|x|` of the sample. NaN is -1.

    Args:
        shape: the layer's shape.
        ratio: 0.4.
        estimator: backward rule, evaluated at x.
    """

    planes = 2

    def __init__(self, shape: LayerShape, ratio: float = 0.4, estimator: EstimatorSpec = "clipped") -> None:
        super().__init__(shape)
        if not 0 < ratio < 10:
            raise ValueError(f"ratio must be positive (0.4 in the paper), got {ratio}")
        self.ratio = float(ratio)
        self.estimator = make_estimator(estimator)
        up = torch.tensor([self.ratio])
        # `z > -ratio` is `z >= ` the next float
        self._thresholds = (float(up), float(torch.nextafter(-up, torch.ones(1))))

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        axes = tuple(range(1, x.dim())) if self.shape.channel_dim == 1 else (-1,)
        return x / x.abs().mean(axes, keepdim=True).clamp_min(1e-12), None

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        ratio, _ = self.prepare(z.detach())
        # a sum of comparisons, as in deployment; NaN fails both
        above = [(ratio.float() >= t).to(z.dtype) for t in self._thresholds]
        out: Tensor = self.estimator(z, above[0] + above[1] - 1)
        return out.to(x.dtype)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        return tuple(ActivationCode(torch.tensor([t]), -1.0, 0.5) for t in self._thresholds)

    def extra_repr(self) -> str:
        return f"ratio={self.ratio:g}"
