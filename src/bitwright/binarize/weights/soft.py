"""DSQ's weight: k bits between learned bounds, with a soft gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32
from bitwright.binarize.soft_quantizer import SoftQuantizer
from bitwright.binarize.weights.base import WeightBinarizer


@WEIGHTS.register("soft")
class SoftWeight(WeightBinarizer):
    """2^bits levels between learned bounds l and u, one pair per layer (see `SoftQuantizer`).

    The bounds start from the latent weight whenever that is set anew. With `D = (u - l) / (2^bits - 1)` the value
    `l + D q` equals `(l + u)/2 + sum D 2^(i-1) (±1)`: one plane a bit, and one of ones for the middle.

    Args:
        shape: the layer's shape.
        bits, alpha, learn_alpha, penalty: of the quantizer.
    """

    def __init__(
        self, shape: LayerShape, bits: int = 1, alpha: float = 0.2, learn_alpha: bool = False, penalty: float = 0.0
    ) -> None:
        super().__init__(shape)
        self.quantizer = SoftQuantizer(bits, alpha, learn_alpha, penalty)
        self.planes = self.quantizer.bits + 1

    def on_latent(self, latent: Tensor) -> None:
        if latent.numel() > 1 and float(latent.std()) > 0:
            self.quantizer.fit(latent)

    def forward(self, latent: Tensor) -> Tensor:
        out: Tensor = self.quantizer(latent)
        return out

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        _, _, low, step = self.quantizer.affine()
        top = self.quantizer.top
        level = self.quantizer.level(at_least_float32(latent)).to(torch.int64)
        ones = torch.ones(latent.shape[0], device=latent.device)
        bits = [
            WeightCode(bits=(level >> i) & 1 == 1, scale=ones * (step * 2.0 ** (i - 1)))
            for i in range(self.quantizer.bits)
        ]
        return (*bits, WeightCode(bits=torch.ones_like(bits[0].bits), scale=ones * (low + step * top / 2)))
