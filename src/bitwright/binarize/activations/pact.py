"""k-bit activations with a learned clipping value (PACT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.levels import LevelActivation
from bitwright.binarize.estimators.base import positive
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(x, alpha)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        x, alpha = ctx.saved_tensors
        g = grads[0]
        above = x >= alpha
        return g * ((x >= 0) & ~above), (g * above).sum().view_as(alpha), None


@ACTIVATIONS.register("pact")
class PACTActivation(LevelActivation):
    """`clip(x, 0, alpha)` in 2^k levels `alpha i / (2^k - 1)`, alpha learned, one a layer.

    Gradient: g to x where `0 <= x < alpha`; the sum of g where `x >= alpha` to alpha.

    Args:
        shape: the layer's shape.
        bits: k, 2 to 8.
        alpha: where it starts.
        decay: weight decay of alpha (`optim.parameter_groups`).
    """

    def __init__(self, shape: LayerShape, bits: int = 4, alpha: float = 10.0, decay: float = 1e-4) -> None:
        super().__init__(shape, bits)
        self.decay = float(decay)
        self.alpha = nn.Parameter(torch.tensor([positive("alpha", alpha)]))

    def step_and_zero(self) -> tuple[Tensor, Tensor | float]:
        return self.alpha / self.top, 0.0

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        with torch.no_grad():
            value = self.value(z.detach(), (self.alpha / self.top).to(z.dtype), 0.0)
        out: Tensor = _Clip.apply(z, self.alpha.to(z.dtype), value)
        return out.to(x.dtype)

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        return {"alpha": {"weight_decay": self.decay}}
