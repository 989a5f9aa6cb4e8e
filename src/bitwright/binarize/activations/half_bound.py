"""PokeBNN's activation: half a fixed bound, ±."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.estimators import get_estimator
from bitwright.binarize.estimators.base import positive
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32, bsign, replace_value


@ACTIVATIONS.register("half_bound")
class HalfBoundActivation(ActivationBinarizer):
    """`(B / 2) bsign(x)` with a fixed bound B; the gradient passes where `|x| < (1 - 2^-7) B`. PokeBNN, code read.

    Args:
        shape: the layer's shape.
        bound: B, 3 in the paper, where it is worth more than 3 % against 1.
    """

    level: Tensor

    def __init__(self, shape: LayerShape, bound: float = 3.0) -> None:
        super().__init__(shape)
        self.bound = positive("bound", bound)
        self.estimator = get_estimator("poke", bound=self.bound)
        self.register_buffer("level", torch.tensor([self.bound / 2]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        with torch.no_grad():
            # the layer multiplies by `scale()`, and so its gradient
            slope = self.estimator.derivative(z.detach()) / (self.bound / 2)
        return replace_value(z, bsign(z.detach()), slope).to(x.dtype)

    def scale(self) -> Tensor:
        return self.level

    def real(self, x: Tensor) -> Tensor:
        return x.clamp(-self.bound, self.bound)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        return (ActivationCode(torch.zeros_like(self.level), -1.0, self.bound / 2),)

    def extra_repr(self) -> str:
        return f"bound={self.bound:g}"
