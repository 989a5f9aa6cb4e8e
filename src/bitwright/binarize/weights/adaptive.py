"""AdaBin's weight: two levels per filter with the filter's own mean and spread."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32
from bitwright.binarize.weights.base import WeightBinarizer


@WEIGHTS.register("adaptive")
class AdaptiveWeight(WeightBinarizer):
    """`alpha bsign((w - beta) / alpha) + beta`, beta the mean and alpha the standard deviation (n) of each filter.

    Both stay in the differentiated expression. At inference a filter is its bits, alpha and beta: the second of the
    two planes of `codes` has all bits 1.

    Args:
        shape: the layer's shape.
        estimator: backward rule of the sign, evaluated at the standardised weight.

    Raises:
        ValueError: filters of a single weight.
    """

    planes = 2

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "ede") -> None:
        super().__init__(shape)
        if shape.fan_in < 2:
            raise ValueError(
                "this method centres every filter, and a filter with a single weight has nothing left after that; keep "
                "this layer in float (skip=...) or choose a method without centring"
            )
        self.estimator = make_estimator(estimator)

    def _levels(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(standardised weight, alpha, beta), at least float32, `[O, 1, ...]`."""
        w = at_least_float32(latent)
        axes = tuple(range(1, w.dim()))
        beta = w.mean(dim=axes, keepdim=True)
        centred = w - beta
        variance = centred.square().mean(dim=axes, keepdim=True)
        # a constant filter has no spread: alpha is 0 and the standardised weight all zero, with a finite gradient
        spread = variance > 1e-24
        root = torch.where(spread, variance, torch.ones_like(variance)).sqrt()
        return centred / root, root * spread, beta

    def normalize(self, latent: Tensor) -> Tensor:
        return self._levels(latent)[0]

    def forward(self, latent: Tensor) -> Tensor:
        w, alpha, beta = self._levels(latent)
        return alpha * self.estimator(w) + beta

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        w, alpha, beta = self._levels(latent.detach())
        bits = w >= 0
        return (
            WeightCode(bits=bits, scale=alpha.flatten().contiguous()),
            WeightCode(bits=torch.ones_like(bits), scale=beta.flatten().contiguous()),
        )
