"""DoReFa-Net's k-bit weights."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, replace_value
from bitwright.binarize.weights.base import WeightBinarizer


@WEIGHTS.register("uniform")
class UniformWeight(WeightBinarizer):
    """DoReFa-Net's k-bit weight, k >= 2: `2 * quantize_k(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1`, max over the layer.

    `2 q / (2^k - 1) - 1` with `q = sum 2^i c_i` equals `sum 2^i (2 c_i - 1) / (2^k - 1)`: k planes of ±1 with scales
    `2^i / (2^k - 1)`.

    Args:
        shape: the layer's shape.
        bits: k, 2 to 8.
        detach_max: True: no gradient through the maximum (Larq); False: the authors' code.
    """

    def __init__(self, shape: LayerShape, bits: int = 2, detach_max: bool = False) -> None:
        super().__init__(shape)
        if not 2 <= bits <= 8:
            raise ValueError(f"k-bit weights need 2 <= bits <= 8, got {bits} (for 1 bit use kind='sign')")
        self.bits = int(bits)
        self.planes = self.bits
        self.detach_max = bool(detach_max)

    def _levels(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(r in [0, 1], its quantized value times 2^k - 1)."""
        t = torch.tanh(at_least_float32(latent))
        top = t.abs().max()
        if self.detach_max:
            top = top.detach()
        r = t / (2 * top.clamp_min(torch.finfo(t.dtype).tiny)) + 0.5
        return r, torch.round(r.detach() * (2**self.bits - 1))

    def forward(self, latent: Tensor) -> Tensor:
        r, q = self._levels(latent)
        n = 2**self.bits - 1
        return 2 * replace_value(r, q / n, torch.ones_like(r)) - 1

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        q = self._levels(latent.detach())[1].to(torch.int64)
        n = 2**self.bits - 1
        ones = torch.ones(latent.shape[0], dtype=torch.float32, device=latent.device)
        return tuple(WeightCode(bits=(q >> i) & 1 == 1, scale=ones * (2**i / n)) for i in range(self.bits))

    def extra_repr(self) -> str:
        return f"bits={self.bits}, detach_max={self.detach_max}"
