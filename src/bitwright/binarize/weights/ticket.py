"""Multi-prize tickets: weights that are never trained, of which learned scores choose some."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.inits.base import Init
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.planes import ternary_planes


@WEIGHTS.register("ticket")
class TicketWeight(WeightBinarizer):
    """`alpha M bsign(W)`: W is drawn once (buffer `fixed`), the latent weight holds the scores S.

    M is 1 for the weights with the largest |S| of the layer, alpha the mean |W| of those. The scores get `g W sign(S)`.
    Code read.

    Args:
        shape: the layer's shape.
        keep: share of the weights that are kept.
        authors_alpha: divide by `int(keep n)` although `n - int((1 - keep) n)` weights are kept, as the authors' code.
        theory_init: W has the variance `2 / (fan_in keep)`; False: `2 / (fan_in (1 - keep))`, as the authors' code.
        constant: W is ± its standard deviation.
    """

    planes = 2
    adopts = False
    fixed: Tensor

    def __init__(
        self,
        shape: LayerShape,
        keep: float = 0.5,
        authors_alpha: bool = False,
        theory_init: bool = False,
        constant: bool = False,
    ) -> None:
        super().__init__(shape)
        if not 0 < keep < 1:
            raise ValueError(f"keep is the share of weights that stay, 0 < keep < 1, got {keep}")
        self.keep, self.authors_alpha = float(keep), bool(authors_alpha)
        self.theory_init, self.constant = bool(theory_init), bool(constant)
        self.register_buffer("fixed", torch.ones(shape.filter_shape))

    @torch.no_grad()
    def initialize(self, latent: Tensor, init: Init) -> None:
        init(latent, self.shape)
        deviation = math.sqrt(2 / (self.shape.fan_in * (self.keep if self.theory_init else 1 - self.keep)))
        self.fixed.normal_(0, deviation)
        if self.constant:
            self.fixed.copy_(deviation * bsign(self.fixed))

    @torch.no_grad()
    def latent_from(self, filters: Tensor) -> Tensor:
        """The float weight becomes W; the scores are drawn anew."""
        self.fixed.copy_(filters)
        bound = 1 / math.sqrt(self.shape.fan_in)
        return torch.empty_like(filters).uniform_(-bound, bound)

    def mask(self, latent: Tensor) -> Tensor:
        """M, bool."""
        magnitude = latent.detach().abs().flatten()
        dropped = min(int((1 - self.keep) * magnitude.numel()), magnitude.numel() - 1)
        kept = torch.ones_like(magnitude, dtype=torch.bool)
        kept[magnitude.argsort(stable=True)[:dropped]] = False
        return kept.view(latent.shape)

    def _scale(self, mask: Tensor) -> Tensor:
        w = at_least_float32(self.fixed)
        count = mask.sum()
        if self.authors_alpha:
            count = torch.full_like(count, max(1, int(self.keep * mask.numel())))
        return (w.abs() * mask).sum() / count

    def forward(self, latent: Tensor) -> Tensor:
        s, w = at_least_float32(latent), at_least_float32(self.fixed)
        mask = self.mask(s)
        return replace_value(s, self._scale(mask) * mask * bsign(w), w * bsign(s.detach()))

    def real(self, latent: Tensor) -> Tensor:
        """The chosen weights as they are."""
        s, w = at_least_float32(latent), at_least_float32(self.fixed)
        return replace_value(s, w * self.mask(s), w * bsign(s.detach()))

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        mask = self.mask(at_least_float32(latent))
        scale = self._scale(mask).float().expand(mask.shape[0]).contiguous()
        return ternary_planes(mask & (self.fixed >= 0), mask & (self.fixed < 0), scale)

    def extra_repr(self) -> str:
        return f"keep={self.keep:g}, authors_alpha={self.authors_alpha}, constant={self.constant}"
