"""BONN's prior of the weights: two normal distributions around ±mu for every filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import REGULARIZERS
from bitwright.binarize.regularizers.base import Regularizer
from bitwright.binarize.sign import at_least_float32

if TYPE_CHECKING:
    from bitwright.binarize.verbs import BinaryModule


@REGULARIZERS.register("bayesian_kernel")
class BayesianKernel(Regularizer):
    """`strength spread / 2 sum over filters of sum((|w| - mu)^2 / sigma^2 + log sigma^2)`.

    mu and sigma start at mean|w| and the standard deviation of w, whenever the latent weight is set anew. After every
    optimizer step (`after_step`) they descend this loss's gradient divided by the filter's size, as the paper prints
    it; sigma stays at or above 0.001. They are buffers: replicas that train together have the same ones.

    Args:
        shape: the layer's shape.
        strength: lambda.
        spread: nu; 0.001 for ResNet-18, 0.0001 for wide ResNets in the paper.
        rate: learning rate of mu and sigma.
    """

    smallest = 1e-3
    mu: Tensor
    sigma: Tensor

    def __init__(self, shape: LayerShape, strength: float = 1e-4, spread: float = 1e-3, rate: float = 0.01) -> None:
        super().__init__(shape)
        if min(strength, spread) <= 0 or rate < 0:
            raise ValueError(
                "strength and spread must be positive and rate not negative, got "
                f"strength={strength}, spread={spread}, rate={rate}"
            )
        self.strength, self.spread, self.rate = float(strength), float(spread), float(rate)
        self.register_buffer("mu", torch.ones(shape.out_channels))
        self.register_buffer("sigma", torch.ones(shape.out_channels))

    @torch.no_grad()
    def on_latent(self, latent: Tensor) -> None:
        rows = at_least_float32(latent).flatten(1)
        self.mu.copy_(rows.abs().mean(1))
        self.sigma.copy_(rows.std(1, correction=0).clamp_min(self.smallest))

    def gradients(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(of mu, of sigma), `[O]`, divided by the filter's size."""
        away = latent.to(self.mu.dtype).flatten(1).abs() - self.mu.unsqueeze(1)
        factor = self.strength * self.spread
        mu = -factor * away.mean(1) / self.sigma.square()
        return mu, factor * (1 / self.sigma - away.square().mean(1) / self.sigma**3)

    @torch.no_grad()
    def on_step(self, latent: Tensor) -> None:
        mu, sigma = self.gradients(latent)
        self.mu.sub_(self.rate * mu)
        self.sigma.sub_(self.rate * sigma).clamp_(min=self.smallest)

    def loss(self, layer: BinaryModule) -> Tensor:
        rows = at_least_float32(layer.latent_filters()).flatten(1)
        mu, sigma = (p.to(rows.dtype).unsqueeze(1) for p in (self.mu, self.sigma))
        terms = ((rows.abs() - mu) / sigma).square() + 2 * sigma.log()
        return self.strength * self.spread / 2 * terms.sum()
