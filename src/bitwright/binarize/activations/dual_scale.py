"""BiFSMNv2's activations: a sign and a scaled sign of what it leaves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32


@ACTIVATIONS.register("dual_scale")
class DualScaleActivation(ActivationBinarizer):
    """`b1 + b2 - t2`, `b1 = sign(a (x - t0))`, `r = x - b1 - t1`, `b2 = mean|r| sign(a r)`.

    t0, t1, t2 are learned per channel (from U(0, 0.001)), a is one learned number (1). The mean runs over each
    channel of each sample of a map, over each row of a vector, and is a constant for the gradient. BiFSMNv2, code read.

    The scale differs between samples and channels, so there are no planes: two bits an activation, but real sums.

    Args:
        shape: the layer's shape.
        estimator: backward rule of both signs.
    """

    planes = 0

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "clipped") -> None:
        super().__init__(shape)
        self.estimator = make_estimator(estimator)
        self.shift = nn.Parameter(torch.empty(3, shape.in_channels).uniform_(0, 1e-3))
        self.slope = nn.Parameter(torch.ones(1))

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        return {"shift": {"lr_factor": 0.1}, "slope": {"lr_factor": 0.1}}

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        t0, t1, t2 = (self.shape.per_channel(t.to(z.dtype)) for t in self.shift)
        a = self.slope.to(z.dtype)
        first = self.estimator(a * (z - t0))
        rest = z - first - t1
        axes = tuple(range(2, z.dim())) if self.shape.channel_dim == 1 else (-1,)
        # NaN is the lower level: it must not make a whole channel NaN
        scale = torch.nan_to_num(rest.detach(), nan=0.0).abs().mean(axes, keepdim=True)
        second = scale * self.estimator(a * rest)
        return (first + second - t2).to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        return x
