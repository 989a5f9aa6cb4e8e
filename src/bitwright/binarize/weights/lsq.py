"""k-bit weights with a learned step (LSQ)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.lsq import learned_step
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32
from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.planes import affine_planes


@WEIGHTS.register("lsq")
class LSQWeight(WeightBinarizer):
    """`s round(clamp(w/s, -2^(k-1), 2^(k-1) - 1))`, one learned s a layer, starting at `2 mean|w| / sqrt(Q_p)`.

    The gradient of s is multiplied by `1 / sqrt(n Q_p)`, n the layer's weights, `Q_p = 2^(k-1) - 1`.

    Args:
        shape: the layer's shape.
        bits: k, 2 to 8.
    """

    def __init__(self, shape: LayerShape, bits: int = 2) -> None:
        super().__init__(shape)
        if not 2 <= bits <= 8:
            raise ValueError(f"LSQ weights need 2 <= bits <= 8, got {bits} (for 1 bit use kind='sign')")
        self.bits = int(bits)
        self.planes = self.bits + 1
        self.low, self.high = -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        self.factor = 1 / math.sqrt(math.prod(shape.filter_shape) * self.high)
        self.step = nn.Parameter(torch.ones(1))

    @torch.no_grad()
    def on_latent(self, latent: Tensor) -> None:
        self.step.copy_((2 * latent.abs().mean() / math.sqrt(self.high)).clamp_min(1e-8).view(1))

    def _levels(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent.detach())
        return torch.round(w / self.step.detach().to(w.dtype)).clamp(self.low, self.high)

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        return learned_step(w, self.step.to(w.dtype), self._levels(w), self.low, self.high, self.factor)

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        step = self.step.detach().float().expand(latent.shape[0])
        return affine_planes(self._levels(latent) - self.low, self.bits, step, torch.full_like(step, -self.low))

    def extra_repr(self) -> str:
        return f"bits={self.bits}"
