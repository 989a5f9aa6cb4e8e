"""BiFSMNv2's weights: the sign of a learned multiple of the weight."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.scales.mean_abs import filter_mean_abs
from bitwright.binarize.sign import at_least_float32
from bitwright.binarize.weights.base import WeightBinarizer


@WEIGHTS.register("learned_slope")
class LearnedSlopeWeight(WeightBinarizer):
    """`mean|w| bsign(a w)` per filter, a one learned number, 1 at the start; the scale is a constant for the gradient.

    With z = a w and d the estimator's slope at z: w gets `mean|w| g d a`, a the sum of `mean|w| g d w`.

    Args:
        shape: the layer's shape.
        estimator: backward rule.
    """

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "clipped") -> None:
        super().__init__(shape)
        self.estimator = make_estimator(estimator)
        self.slope = nn.Parameter(torch.ones(1))

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        return {"slope": {"lr_factor": 0.1}}

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        return filter_mean_abs(w.detach()) * self.estimator(self.slope.to(w.dtype) * w)

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        w = at_least_float32(latent.detach())
        scale = filter_mean_abs(w).reshape(-1).contiguous()
        return (WeightCode(self.slope.detach().to(w.dtype) * w >= 0, scale),)
