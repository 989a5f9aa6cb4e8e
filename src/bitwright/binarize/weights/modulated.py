"""Signs whose gradient passes a learned factor per kernel position: PCNN's projections, BONN's modulation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.copies import copied_rows, copied_shape

VALUES = ("magnitude", "modulation")


class _AnticipatedStep(torch.autograd.Function):
    """Forward: `value`. Backward: the clipped gradient to `product = factor * c`, plus what the loss
    `strength / 2 |value - factor * (c + step * delta)|^2` adds beyond its form without delta, delta being the gradient
    that arrives here.
    """

    @staticmethod
    def forward(
        ctx: Any, product: Tensor, factor: Tensor, value: Tensor, mask: Tensor, strength: float, step: float
    ) -> Tensor:
        ctx.save_for_backward(product, factor, value, mask)
        ctx.strength, ctx.step = strength, step
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None, None, None]:
        product, factor, value, mask = ctx.saved_tensors
        delta, rate = grads[0], ctx.strength * ctx.step
        extra = rate * delta * (product - value) + rate * ctx.step * factor * delta.square()
        return delta * (mask + rate * factor), extra.sum(1, keepdim=True), None, None, None, None


@WEIGHTS.register("modulated")
class ModulatedWeight(WeightBinarizer):
    """The sign of the latent weight; the gradient passes `m * w`, m a learned factor per kernel position.

    m is shared by all filters and channels of the layer. With g the gradient of the value: the latent weight gets
    `g 1{|m w| <= 1} m`, m gets the sum of `g 1{|m w| <= 1} w`. The extra loss is
    `strength / 2 sum (value - m w)^2` with a constant value.

    Args:
        shape: the layer's shape.
        value: "magnitude": `a bsign(mean(m) w)`, a = mean|w| of the layer (PCNN); "modulation": `mean(m) bsign(w)`
            (BONN).
        versions: J of PCNN: every latent filter gives J neighbouring output channels, one for each factor m_j.
        forward_mean: False: with "magnitude" the sign is that of `m w`, so that versions differ where signs in m do.
        strength: lambda of the extra loss.
        step: eta: with "magnitude" the loss compares with `m (w + eta delta)`, delta the gradient of the value. Its
            part without delta is in `regularization`, the rest is added in the backward pass.
        noise: standard deviation of m at the start, around 1; None: 0, and 0.1 with several versions.

    Raises:
        ValueError: numbers out of range.
    """

    rows: Tensor
    version: Tensor

    def __init__(
        self,
        shape: LayerShape,
        value: str = "magnitude",
        versions: int = 1,
        forward_mean: bool = True,
        strength: float = 1e-4,
        step: float = 0.0,
        noise: float | None = None,
    ) -> None:
        super().__init__(shape)
        if value not in VALUES:
            raise UnknownNameError("value of modulated weights", value, VALUES)
        if min(strength, step) < 0:
            raise ValueError(f"strength and step must not be negative, got strength={strength}, step={step}")
        self.value, self.versions, self.forward_mean = value, versions, bool(forward_mean)
        self.strength, self.step = float(strength), float(step)
        self._latent_shape = copied_shape(shape, versions)
        spread = (0.0 if versions == 1 else 0.1) if noise is None else float(noise)
        self.factor = nn.Parameter(1 + spread * torch.randn(versions, 1, *shape.kernel_size))
        rows, version = copied_rows(shape, versions)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("version", version, persistent=False)

    def latent_shape(self) -> tuple[int, ...]:
        return self._latent_shape

    def real(self, latent: Tensor) -> Tensor:
        return latent if self.versions == 1 else latent[self.rows]

    def _terms(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(latent filter and factor of every output channel, value)."""
        w, m = at_least_float32(latent), at_least_float32(self.factor)
        with torch.no_grad():
            magnitude = w.abs().mean()
        if self.versions > 1:
            w, m = w[self.rows], m[self.version]
        with torch.no_grad():
            mean = m.flatten(1).mean(1).view(-1, *(1,) * (w.dim() - 1))
            if self.value == "modulation":
                value = mean * bsign(w)
            else:
                value = magnitude * bsign((mean if self.forward_mean else m) * w)
        return w, m, value

    def forward(self, latent: Tensor) -> Tensor:
        w, m, value = self._terms(latent)
        if not torch.is_grad_enabled():
            return value
        product = m * w
        mask = (product.detach().abs() <= 1).to(product.dtype)
        if self.step and self.strength:
            out: Tensor = _AnticipatedStep.apply(
                product, m.expand(w.shape[0], *m.shape[1:]), value, mask, self.strength, self.step
            )
            return out
        return replace_value(product, value, mask)

    def regularization(self, latent: Tensor | None = None) -> Tensor | None:
        if not self.strength or latent is None:
            return None
        w, m, value = self._terms(latent)
        return self.strength / 2 * (value - m * w).square().sum()

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        w, m, _ = self._terms(latent)
        mean = m.flatten(1).mean(1)
        if self.value == "modulation":
            return (WeightCode(w >= 0, mean.expand(w.shape[0]).contiguous()),)
        signed = (mean.view(-1, *(1,) * (w.dim() - 1)) if self.forward_mean else m) * w
        return (WeightCode(signed >= 0, at_least_float32(latent).abs().mean().expand(w.shape[0]).contiguous()),)

    def extra_repr(self) -> str:
        return f"value={self.value}, versions={self.versions}, strength={self.strength:g}, step={self.step:g}"
