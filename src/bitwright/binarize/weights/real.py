"""Weights that stay real."""

from __future__ import annotations

from torch import Tensor

from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.weights.base import WeightBinarizer


@WEIGHTS.register("real")
class RealWeight(WeightBinarizer):
    """The latent weight itself: for layers with binary activations and real weights."""

    planes = 0

    def forward(self, latent: Tensor) -> Tensor:
        return latent
