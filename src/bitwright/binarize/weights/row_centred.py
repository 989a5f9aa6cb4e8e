"""Weights whose sign is taken after centring, and whose scale is that of the weight before it (BiBERT)."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.scales.mean_abs import filter_mean_abs
from bitwright.binarize.sign import at_least_float32, bsign
from bitwright.binarize.weights.sign import SignWeight


@WEIGHTS.register("row_centred")
class RowCentredWeight(SignWeight):
    """`mean|w| bsign(w - mean(w))` per row, the scale a constant for the gradient.

    Args:
        shape: the layer's shape.
        estimator: backward rule, evaluated at the centred weight.
        gradient: "ste": d g, then the centring's; "scaled": mean|w| d g.
    """

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "clipped", gradient: str = "ste") -> None:
        if gradient not in ("ste", "scaled"):
            raise ValueError(f"gradient must be 'ste' or 'scaled', got {gradient!r}")
        super().__init__(shape, estimator=estimator, center="filter", gradient=gradient)

    def forward(self, latent: Tensor) -> Tensor:
        w = self.normalize(latent)
        scale = filter_mean_abs(at_least_float32(latent.detach()))
        if self.gradient == "scaled":
            return scale * self.estimator(w)
        out: Tensor = self.estimator(w, scale * bsign(w.detach()))
        return out

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        scale = filter_mean_abs(at_least_float32(latent)).reshape(-1)
        return (WeightCode(bits=self.normalize(latent) >= 0, scale=scale.contiguous()),)
