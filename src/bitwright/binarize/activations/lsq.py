"""k-bit activations with a learned step (LSQ)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.levels import LevelActivation
from bitwright.binarize.lsq import learned_step
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32


@ACTIVATIONS.register("lsq")
class LSQActivation(LevelActivation):
    """`s rint(clamp(x/s, 0, 2^k - 1))`, one learned s a layer, from the first batch: `2 mean|x| / sqrt(Q_p)`.

    The gradient of s is multiplied by `1 / sqrt(n Q_p)`, n the values of one sample, `Q_p = 2^k - 1` (signed:
    `2^(k-1) - 1`).

    Args:
        shape: the layer's shape.
        bits: k, 2 to 8.
        signed: levels -2^(k-1) ... 2^(k-1) - 1 instead.
    """

    needs_data = True

    def __init__(self, shape: LayerShape, bits: int = 2, signed: bool = False) -> None:
        super().__init__(shape, bits, 2 ** (bits - 1) if signed else 0.0)
        self.high = self.top - self.zero_point
        self.step = nn.Parameter(torch.tensor([1 / self.high]))

    def initialize_from(self, x: Tensor) -> None:
        self.step.copy_((2 * x.abs().mean() / math.sqrt(self.high)).clamp_min(1e-8).view(1))

    def step_and_zero(self) -> tuple[Tensor, Tensor | float]:
        return self.step, self.zero_point

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        step = self.step.to(z.dtype)
        with torch.no_grad():
            levels = self.quantize(z.detach(), step, self.zero_point) - self.zero_point
            if self.has_zero_point:
                levels = torch.where(torch.isnan(z), torch.zeros_like(z), levels)
        rows = z.shape[0] if self.shape.channel_dim == 1 else z.numel() // z.shape[-1]
        factor = 1 / math.sqrt(max(1, z.numel() // max(1, rows)) * self.high)
        return learned_step(z, step, levels, -self.zero_point, self.high, factor).to(x.dtype)
