"""DoReFa-Net's quantized gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS


class _QuantizeGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, bits: int, noise: bool) -> Tensor:
        ctx.bits, ctx.noise = bits, noise
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        return quantize_gradient(grads[0], ctx.bits, ctx.noise), None, None


def quantize_gradient(grad: Tensor, bits: int, noise: bool = True) -> Tensor:
    """DoReFa-Net's f(dr) = 2m [quantize_k(dr / 2m + 1/2 + N) - 1/2], m the maximum of |dr| over each sample, N uniform
    noise.

    N = u / (2^k - 1), u ~ U(-1/2, 1/2); the argument is clamped to [0, 1] (paper equation 12, code read).
    """
    n = 2**bits - 1
    dims = tuple(range(1, grad.dim()))
    top = grad.abs().amax(dim=dims, keepdim=True) if dims else grad.abs()
    safe = top.clamp_min(torch.finfo(grad.dtype).tiny)
    r = grad / (2 * safe) + 0.5
    if noise:
        r = r + (torch.rand_like(r) - 0.5) / n
    return 2 * top * (torch.round(r.clamp(0, 1) * n) / n - 0.5)


@OUTPUTS.register("gradient_bits")
class GradientBits(OutputRule):
    """Quantizes the gradient at the layer's output to `bits` (DoReFa-Net); the forward is the identity.

    Args:
        shape: the layer's shape.
        bits: 1 to 8.
        noise: stochastic rounding, drawn anew in every backward.
    """

    identity_in_eval = True

    def __init__(self, shape: LayerShape, bits: int = 6, noise: bool = True) -> None:
        super().__init__(shape)
        if not 1 <= bits <= 8:
            raise ValueError(f"gradient bits must be 1 to 8, got {bits}")
        self.bits, self.noise = int(bits), bool(noise)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        out: Tensor = _QuantizeGradient.apply(y, self.bits, self.noise)
        return out

    def extra_repr(self) -> str:
        return f"bits={self.bits}, noise={self.noise}"
