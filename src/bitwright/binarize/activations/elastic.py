"""BiT's elastic binarization: a learned scale and a learned threshold, ±1 or {0,1}."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32, replace_value


@ACTIVATIONS.register("elastic")
class ElasticActivation(ActivationBinarizer):
    """Signed: `alpha bsign(x - beta)`. Not negative: `alpha round(clip((x - beta) / alpha, 0, 1))`.

    Gradients: x gets g where `|x - beta| <= alpha` (`0 <= x - beta <= alpha`), beta the negative of it, alpha
    `1 / sqrt(n)` times the sum of g times the level, less (not negative only) `(x - beta) / alpha` inside the window;
    n the values of the input. alpha starts at 2 mean|x| (signed) or 4 mean|x| of the first batch, beta at 0.

    Args:
        shape: the layer's shape.
        signed: ±1 or {0,1}.
        shift: learned thresholds: "layer" (one) or "channel".
    """

    needs_data = True
    least = 1e-5  # a smaller alpha counts as this, as in the authors' code

    def __init__(self, shape: LayerShape, signed: bool = True, shift: str = "layer") -> None:
        super().__init__(shape)
        if shift not in ("layer", "channel"):
            raise ValueError(f"shift must be 'layer' or 'channel', got {shift!r}")
        self.signed = bool(signed)
        self.low = -1.0 if self.signed else 0.0
        self.alpha = nn.Parameter(torch.ones(1))
        self.beta = nn.Parameter(torch.zeros(1 if shift == "layer" else shape.in_channels))

    @torch.no_grad()
    def initialize_from(self, x: Tensor) -> None:
        self.alpha.copy_((2 if self.signed else 4) * x.abs().mean().clamp_min(self.least).view(1))

    def _alpha(self) -> Tensor:
        return self.alpha.clamp_min(self.least)

    def threshold(self) -> Tensor:
        """`[C]` or `[1]`: the input that is just 1. A tie counts as 1."""
        beta = self.beta.detach()
        return beta + 0.0 if self.signed else beta + self._alpha().detach() / 2

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        alpha = self._alpha().to(z.dtype)
        fixed = alpha.detach()
        # the gradient that arrives is alpha times that of the scaled level: the layer multiplies by `scale()`
        slowed = fixed + (alpha - fixed) / math.sqrt(max(1, z.numel()))
        ratio = (z - self.shape.per_channel(self.beta.to(z.dtype))) / (fixed if self.signed else slowed)
        with torch.no_grad():
            above = z >= self.shape.per_channel(self.threshold().to(z.device))
            value = torch.where(above, 1.0, self.low).to(z.dtype)
            slope = ((ratio >= self.low) & (ratio <= 1)).to(z.dtype)
        levels = replace_value(ratio, value, slope)
        if torch.is_grad_enabled() and self.alpha.requires_grad:
            levels = levels + value * ((slowed - fixed) / fixed)  # adds 0; carries the gradient of the scale
        return levels.to(x.dtype)

    def scale(self) -> Tensor:
        return self._alpha().detach()

    def real(self, x: Tensor) -> Tensor:
        return x

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        return (ActivationCode(self.threshold().float(), self.low, self._alpha().detach().float()),)

    def extra_repr(self) -> str:
        return f"signed={self.signed}, beta={tuple(self.beta.shape)}"
