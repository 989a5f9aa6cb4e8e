"""PokeBNN's weights: half the largest absolute value of each filter."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.scales.base import filter_axes
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer

EDGE = 1 - 2.0**-7


@WEIGHTS.register("max_abs")
class MaxAbsWeight(WeightBinarizer):
    """`(B / 2) bsign(w)`, `B = max|w|` of the filter, a constant; the gradient passes where `|w| < (1 - 2^-7) B`.

    It is `B (floor(clip(w / B)) + 1/2)`, a floor quantizer of one bit: the largest weight of a filter gets no gradient.
    PokeBNN, code read.
    """

    def _bound(self, w: Tensor) -> Tensor:
        return w.abs().amax(dim=filter_axes(w), keepdim=True)

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        with torch.no_grad():
            bound = self._bound(w)
            value = bound / 2 * bsign(w)
            slope = (w.abs() < EDGE * bound).to(w.dtype)
        return replace_value(w, value, slope)

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        w = at_least_float32(latent)
        return (WeightCode(w >= 0, (self._bound(w) / 2).reshape(-1).contiguous()),)
