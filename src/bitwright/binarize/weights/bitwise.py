"""Bitwise Neural Networks' weights: tanh in the first stage, then sign with a share of zeros; biases likewise."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.planes import ternary_planes


@WEIGHTS.register("bitwise")
class BitwiseWeight(WeightBinarizer):
    """Stages "float" and "activations": `tanh(w)`. Stage "full": +1 where `w > beta`, -1 where `w < -beta`, else 0.

    beta lies midway between two neighbouring |w|, so that exactly `round(sparsity * n)` weights of the layer are 0;
    with sparsity 0 it is the sign. The gradient passes unchanged. Biases follow the same rule without zeros. Paper
    read.

    Args:
        shape: the layer's shape.
        sparsity: share of zeros, 0 to below 1.
    """

    def __init__(self, shape: LayerShape, sparsity: float = 0.0) -> None:
        super().__init__(shape)
        if not 0 <= sparsity < 1:
            raise ValueError(f"sparsity is a share of the weights, 0 <= sparsity < 1, got {sparsity}")
        self.sparsity = float(sparsity)
        self.planes = 2 if sparsity else 1

    def real(self, latent: Tensor) -> Tensor:
        return torch.tanh(latent)

    def threshold(self, latent: Tensor) -> Tensor:
        """beta, a scalar."""
        magnitude = latent.detach().abs().flatten()
        zeros = round(self.sparsity * magnitude.numel())
        if zeros == 0:
            return magnitude.new_zeros(())
        ordered = magnitude.sort().values
        return (ordered[zeros - 1] + ordered[min(zeros, len(ordered) - 1)]) / 2

    def _signs(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        beta = self.threshold(latent)
        return latent > beta, latent < -beta

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        if self.planes == 1:
            value = bsign(w.detach())
        else:
            plus, minus = self._signs(w.detach())
            value = plus.to(w.dtype) - minus.to(w.dtype)
        return replace_value(w, value, torch.ones((), dtype=w.dtype, device=w.device))

    def bias(self, bias: Tensor, stage: str) -> Tensor:
        if stage != "full":
            return torch.tanh(bias)
        return replace_value(bias, bsign(bias.detach()), torch.ones((), dtype=bias.dtype, device=bias.device))

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        ones = torch.ones(latent.shape[0], dtype=torch.float32, device=latent.device)
        if self.planes == 1:
            return (WeightCode(latent >= 0, ones),)
        return ternary_planes(*self._signs(at_least_float32(latent)), ones)

    def extra_repr(self) -> str:
        return f"sparsity={self.sparsity:g}"
