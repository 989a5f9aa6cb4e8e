"""RBNN's activation: the sign of the input minus the mean of its sample, in training and in eval mode."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.activations.sign import SignActivation
from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32, bsign


def _axes(x: Tensor) -> tuple[int, ...]:
    return tuple(range(1, x.dim())) or (0,)


@ACTIVATIONS.register("sample_centred_sign")
class SampleCentredSign(SignActivation):
    """`bsign(x - mean)`, the mean over everything but the first axis; gradient of `bsign((x - mean) / std)`.

    Deployment subtracts the mean of each sample, then compares with 0.

    Args:
        shape: the layer's shape.
        estimator: backward rule, evaluated at the standardised input; it passes the standardisation by the chain rule.
    """

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "taa") -> None:
        super().__init__(shape, estimator=estimator)

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return x - x.mean(dim=_axes(x), keepdim=True), None

    def forward(self, x: Tensor) -> Tensor:
        wide = at_least_float32(x)
        centred, _ = self.prepare(wide)
        value = bsign(centred.detach())
        if torch.is_grad_enabled() and x.requires_grad:
            axes = _axes(x)
            count = max(1, wide.numel() // max(1, wide.shape[0] if wide.dim() > 1 else 1))
            variance = centred.square().sum(dim=axes, keepdim=True) / max(1, count - 1)
            # a sample without spread stays all zero, with a finite gradient
            z = centred / torch.where(variance > 1e-24, variance, torch.ones_like(variance)).sqrt()
            value = self.estimator(z, value)
        return value.to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        return self.prepare(x)[0].clamp(-1, 1)
