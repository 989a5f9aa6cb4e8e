"""DSQ's activation: k bits between learned bounds, with a soft gradient."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bitwright.binarize.activations.adaptive import constant_plane
from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode, LevelsCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.soft_quantizer import SoftQuantizer


@ACTIVATIONS.register("soft")
class SoftActivation(ActivationBinarizer):
    """2^bits levels between learned bounds l and u, one pair per layer (see `SoftQuantizer`).

    `initialize_from_data` sets the bounds from the first batch; until then they are -1 and 1.

    Args:
        shape: the layer's shape.
        bits, alpha, learn_alpha, penalty: of the quantizer.
    """

    needs_data = True

    def __init__(
        self, shape: LayerShape, bits: int = 1, alpha: float = 0.2, learn_alpha: bool = False, penalty: float = 0.0
    ) -> None:
        super().__init__(shape)
        self.quantizer = SoftQuantizer(bits, alpha, learn_alpha, penalty)
        self.planes = 2

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        return {"quantizer.lower": {"weight_decay": 0.0}, "quantizer.upper": {"weight_decay": 0.0}}

    def initialize_from(self, x: Tensor) -> None:
        self.quantizer.fit(x)

    def forward(self, x: Tensor) -> Tensor:
        # NaN is 0, as in deployment: the lowest level without the lower bound
        out: Tensor = self.quantizer(x)
        return torch.where(torch.isnan(x), 0.0, out).to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        low, step = self.quantizer.bounds()
        low, high = low.to(x.dtype), (low + step * self.quantizer.top).to(x.dtype)
        return torch.minimum(torch.maximum(x, low), high)

    def codes(self) -> tuple[ActivationCode, ...]:
        if self.quantizer.bits > 1:
            return super().codes()
        _, _, low, step = self.quantizer.affine()
        threshold = self.quantizer.middle().float().reshape(1) + 0.0
        return ActivationCode(threshold, 0.0, step.float().reshape(1)), constant_plane(low)

    def levels(self) -> LevelsCode | None:
        if self.quantizer.bits == 1:
            return None
        gain, offset, _, step = (v.float().reshape(1) for v in self.quantizer.affine())
        return LevelsCode(self.quantizer.bits, gain, offset, step)

    def terms(self) -> tuple[ActivationCode | LevelsCode, ...]:
        levels = self.levels()
        return self.codes() if levels is None else (levels, constant_plane(self.quantizer.affine()[2]))
