"""Weights that are clamped ever more steeply until they are signs (BNext, BoolNet)."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.estimators.base import ScheduledEstimator
from bitwright.binarize.part import LayerShape, Progress
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.scales import SCALES
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer

GRADIENTS = ("identity", "window", "exact")
SIGN_BELOW = 1e-7  # a smaller temperature counts as 0


class Temperature(ScheduledEstimator):
    """`T = decay^n`, n the epoch, or the step divided by `every`."""

    t: Tensor

    def __init__(self, decay: float, every: int | None) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(f"decay must lie between 0 and 1, got {decay}")
        if every is not None and every < 1:
            raise ValueError(f"every must be at least 1 step, or None for epochs, got {every}")
        self.decay, self.every = float(decay), every
        self.register_buffer("t", torch.tensor(1.0))

    def on_progress(self, progress: Progress, latent: Tensor | None = None) -> None:
        n = progress.epoch if self.every is None else progress.step // self.every
        self.t.fill_(self.decay**n)
        self.schedule_set.fill_(True)
        self._warn = False

    def derivative(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    def extra_repr(self) -> str:
        return f"decay={self.decay:g}, every={self.every or 'epoch'}"


@WEIGHTS.register("annealed")
class AnnealedWeight(WeightBinarizer):
    """Training: `alpha clamp(w / T, -1, 1)`, T from 1 towards 0; below 1e-7 and in eval mode: `alpha bsign(w)`.

    alpha is differentiated. The clamp's gradient is "identity": g; "window": `g 1{|w| <= 1}`; "exact":
    `g / T 1{|w| <= T}`.

    Args:
        shape: the layer's shape.
        decay: T is multiplied by it every epoch, or every `every` steps.
        every: steps, or None for epochs.
        scale: rule for alpha, in `bitwright.binarize.SCALES`.
        gradient: see above.
        limit: `clip_latent_` clamps the latent weight to ±limit; None: it does not.
    """

    def __init__(
        self,
        shape: LayerShape,
        decay: float = 0.9,
        every: int | None = None,
        scale: str = "none",
        gradient: str = "identity",
        limit: float | None = None,
    ) -> None:
        super().__init__(shape)
        if gradient not in GRADIENTS:
            raise ValueError(f"gradient must be one of {GRADIENTS}, got {gradient!r}")
        if limit is not None and not limit > 0:
            raise ValueError(f"limit must be positive or None, got {limit}")
        self.temperature = Temperature(decay, every)
        self.scale_rule, self.gradient = scale, gradient
        SCALES.get(scale)
        self.latent_range = None if limit is None else (-float(limit), float(limit))

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        if self.training:
            self.temperature(w.new_zeros(1).requires_grad_(torch.is_grad_enabled()))  # warns where T was never set
        with torch.no_grad():
            t = self.temperature.t.to(w.dtype)
            value = torch.where(t < SIGN_BELOW, bsign(w), (w / t.clamp_min(SIGN_BELOW)).clamp(-1, 1))
            if self.gradient == "identity":
                slope = torch.ones((), dtype=w.dtype, device=w.device)
            elif self.gradient == "window":
                slope = (w.abs() <= 1).to(w.dtype)
            else:
                slope = (w.abs() <= t).to(w.dtype) / t.clamp_min(SIGN_BELOW)
        clamped = replace_value(w, value, slope)
        return clamped if self.scale_rule == "none" else SCALES.get(self.scale_rule)(w) * clamped

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        w = at_least_float32(latent.detach())
        scale = SCALES.get(self.scale_rule)(w).reshape(-1).expand(w.shape[0])
        return (WeightCode(bits=w >= 0, scale=scale.contiguous()),)

    def extra_repr(self) -> str:
        return f"scale={self.scale_rule}, gradient={self.gradient}, latent_range={self.latent_range}"
