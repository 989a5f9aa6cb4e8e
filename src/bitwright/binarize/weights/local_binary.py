"""LBCNN's anchor filters: sparse, of -1, 0 and 1, drawn once and never trained."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.inits.base import Init
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.planes import ternary_planes


@WEIGHTS.register("local_binary")
class LocalBinaryWeight(WeightBinarizer):
    """The latent weight itself, which holds -1, 0 and 1 and gets no gradient. Code read.

    `floor(sparsity N)` of the layer's N weights are drawn and set to ±1 with equal chance. The authors draw with
    replacement, so the share of non-zeros is about `1 - exp(-sparsity)`.

    Args:
        shape: the layer's shape.
        sparsity: share of weights that are drawn (not of zeros), above 0 to 1.
        replacement: False draws different weights, so exactly `floor(sparsity N)` are not 0.
    """

    trainable = False
    planes = 2

    def __init__(self, shape: LayerShape, sparsity: float = 0.5, replacement: bool = True) -> None:
        super().__init__(shape)
        if not 0 < sparsity <= 1:
            raise ValueError(f"sparsity is the share of weights that are drawn, 0 < sparsity <= 1, got {sparsity}")
        self.sparsity, self.replacement = float(sparsity), bool(replacement)

    @torch.no_grad()
    def initialize(self, latent: Tensor, init: Init) -> None:
        if latent.is_meta:
            return
        n = latent.numel()
        # a product such as 0.29 * 100 falls just below the integer that is meant
        count = max(1, int(self.sparsity * n + 1e-9))
        where = torch.randint(n, (count,)) if self.replacement else torch.randperm(n)[:count]
        values = torch.zeros(n)
        values[where] = torch.randint(0, 2, (count,)).float() * 2 - 1
        latent.copy_(values.view(latent.shape))

    def forward(self, latent: Tensor) -> Tensor:
        return latent

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        ones = torch.ones(latent.shape[0], dtype=torch.float32, device=latent.device)
        return ternary_planes(latent > 0, latent < 0, ones)

    def extra_repr(self) -> str:
        return f"sparsity={self.sparsity:g}, replacement={self.replacement}"
