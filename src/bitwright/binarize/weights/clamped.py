"""ReCU's weight: standardised per filter, with a clamp at a quantile of the layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.estimators.recu import ReCU
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.sign import SignWeight


@WEIGHTS.register("clamped_sign")
class ClampedSignWeight(SignWeight):
    """`bsign(2 sqrt(2) (w - mean) / sqrt(var + eps))` per filter: mean absolute weights near 2.

    Args:
        shape: the layer's shape.
        estimator: backward rule, "recu": the identity inside the clamp.
        eps: added to the variance.
        in_place: the stored weight is clamped after every step (`after_step`), instead of the gradient of the tails.
    """

    def __init__(
        self,
        shape: LayerShape,
        estimator: EstimatorSpec = "recu",
        eps: float = 1e-5,
        in_place: bool = False,
    ) -> None:
        super().__init__(
            shape,
            estimator=estimator,
            center="filter",
            standardize=True,
            gain=2 * math.sqrt(2),
            eps=eps,
            scale="none",
        )
        self.in_place = bool(in_place)
        if self.in_place and not isinstance(self.estimator, ReCU):
            raise ValueError("in_place=True clamps by the quantile of the estimator 'recu'; choose that estimator")

    def forward(self, latent: Tensor) -> Tensor:
        if not self.in_place:
            return super().forward(latent)
        w = self.normalize(latent)
        return replace_value(w, bsign(w.detach()), torch.ones_like(w))

    def on_step(self, latent: Tensor) -> Tensor | None:
        if not isinstance(self.estimator, ReCU) or not self.in_place:
            return None
        wide = at_least_float32(latent)
        axes = tuple(range(1, wide.dim()))
        w = self.normalize(wide)
        bound = self.estimator.bound(w)
        spread = torch.sqrt(wide.var(dim=axes, keepdim=True) + self.eps) / self.gain
        kept = torch.minimum(torch.maximum(w, -bound), bound) * spread + wide.mean(dim=axes, keepdim=True)
        return torch.where(w.abs() > bound, kept, wide).to(latent.dtype)

    def extra_repr(self) -> str:
        return f"in_place={self.in_place}, {super().extra_repr()}"
