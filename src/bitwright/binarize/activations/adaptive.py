"""AdaBin's activation: two levels with a learned centre and distance per layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32, bsign

OFFSETS = ("center", "product")


def constant_plane(value: Tensor) -> ActivationCode:
    """A plane that is `value` wherever there is an input, and 0 where there is padding with 0."""
    return ActivationCode(torch.full((1,), -math.inf, device=value.device), 0.0, value.detach().float().reshape(1))


@ACTIVATIONS.register("adaptive")
class AdaptiveActivation(ActivationBinarizer):
    """`|alpha| bsign(x - beta) + beta`; gradient of the sign evaluated at `(x - beta) / |alpha|`.

    alpha (1 at the start) and beta (0) are learned per layer; the gradient reaches both.

    Args:
        shape: the layer's shape.
        estimator: backward rule.
        offset: "center": the levels are beta ± alpha (paper); "product": alpha (±1 + beta), the authors' code.
    """

    planes = 2

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "approxsign", offset: str = "center") -> None:
        super().__init__(shape)
        if offset not in OFFSETS:
            raise ValueError(f"offset must be one of {OFFSETS}, got {offset!r}")
        self.estimator = make_estimator(estimator)
        self.offset = offset
        self.alpha = nn.Parameter(torch.ones(()))
        self.beta = nn.Parameter(torch.zeros(()))

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        return {"alpha": {"weight_decay": 0.0}, "beta": {"weight_decay": 0.0}}

    def _offset(self) -> Tensor:
        return self.beta if self.offset == "center" else self.alpha.abs() * self.beta

    def forward(self, x: Tensor) -> Tensor:
        wide = at_least_float32(x)
        alpha, beta = self.alpha.abs().to(wide.dtype), self.beta.to(wide.dtype)
        # the comparison that deployment makes: a division could round across it
        value = bsign(wide.detach() - beta.detach())
        sign = self.estimator((wide - beta) / alpha.clamp_min(torch.finfo(wide.dtype).tiny), value)
        # NaN is the lower level without the offset, as in deployment
        offset = self._offset().to(wide.dtype) * (wide.detach() >= -math.inf)
        return (alpha * sign + offset).to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        alpha = self.alpha.abs().to(x.dtype)
        return torch.minimum(torch.maximum(x, self.beta.to(x.dtype) - alpha), self.beta.to(x.dtype) + alpha)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        threshold = self.beta.float().reshape(1) + 0.0
        scale = self.alpha.abs().float().reshape(1)
        return ActivationCode(threshold, -1.0, scale), constant_plane(self._offset())

    def extra_repr(self) -> str:
        return f"offset={self.offset}"
