"""Ternary weights: a threshold per filter or layer, with the best scale (TWN) or two learned ones (TTQ)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, replace_value
from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.planes import ternary_planes


@WEIGHTS.register("ternary")
class TernaryWeight(WeightBinarizer):
    """TWN: `alpha` where `w > delta`, `-alpha` where `w < -delta`, else 0; gradient unchanged.

    `delta = ratio * mean|w|`, `alpha` = mean |w| over the weights that are not 0: the least-squares scale.

    Args:
        shape: the layer's shape.
        ratio: 0.7, the paper's compromise between a uniform (2/3) and a normal (3/4) distribution.
        granularity: "filter" or "layer": over which weights the means run.
    """

    planes = 2

    def __init__(self, shape: LayerShape, ratio: float = 0.7, granularity: str = "filter") -> None:
        super().__init__(shape)
        if not 0 < ratio < 1:
            raise ValueError(f"ratio must lie between 0 and 1, got {ratio}")
        if granularity not in ("filter", "layer"):
            raise ValueError(f"granularity must be 'filter' or 'layer', got {granularity!r}")
        self.ratio, self.granularity = float(ratio), granularity

    def _parts(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(where positive, where negative, alpha)."""
        w = at_least_float32(latent.detach())
        axes = tuple(range(0 if self.granularity == "layer" else 1, w.dim()))
        magnitude = w.abs()
        delta = self.ratio * magnitude.mean(axes, keepdim=True)
        kept = (magnitude > delta).to(w.dtype)
        alpha = (magnitude * kept).sum(axes, keepdim=True) / kept.sum(axes, keepdim=True).clamp_min(1)
        return w > delta, w < -delta, alpha

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        plus, minus, alpha = self._parts(w)
        value = alpha * (plus.to(w.dtype) - minus.to(w.dtype))
        return replace_value(w, value, torch.ones((), dtype=w.dtype, device=w.device))

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        plus, minus, alpha = self._parts(latent)
        return ternary_planes(plus, minus, alpha.reshape(-1).expand(latent.shape[0]).contiguous())

    def extra_repr(self) -> str:
        return f"ratio={self.ratio:g}, granularity={self.granularity}"


class _TrainedTernary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, plus: Tensor, minus: Tensor, up: Tensor, down: Tensor) -> Tensor:
        ctx.save_for_backward(plus, minus, up, down)
        return up * plus - down * minus

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, Tensor, Tensor]:
        plus, minus, up, down = ctx.saved_tensors
        g = grads[0]
        slope = up * plus + down * minus + (1 - plus - minus)
        return g * slope, None, None, (g * plus).sum().view_as(up), -(g * minus).sum().view_as(down)


@WEIGHTS.register("trained_ternary")
class TrainedTernaryWeight(WeightBinarizer):
    """TTQ: `W_p` where `w > delta`, `-W_n` where `w < -delta`, else 0; `delta = ratio * max|w|` of the layer.

    The latent gradient is `W_p g`, `W_n g` and `g` in the three regions; W_p and W_n get the derivative of the value.
    They start at the mean |w| of their region.

    Args:
        shape: the layer's shape.
        ratio: 0.05.
    """

    planes = 3

    def __init__(self, shape: LayerShape, ratio: float = 0.05) -> None:
        super().__init__(shape)
        if not 0 <= ratio < 1:
            raise ValueError(f"ratio must be at least 0 and below 1, got {ratio}")
        self.ratio = float(ratio)
        self.up = nn.Parameter(torch.ones(1))
        self.down = nn.Parameter(torch.ones(1))

    def _regions(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        delta = self.ratio * latent.abs().max()
        return latent > delta, latent < -delta

    @torch.no_grad()
    def on_latent(self, latent: Tensor) -> None:
        magnitude = latent.abs().to(self.up.dtype)
        for factor, region in zip((self.up, self.down), self._regions(latent), strict=True):
            kept = region.to(self.up.dtype)
            if latent.is_meta or kept.sum() > 0:
                factor.copy_(((magnitude * kept).sum() / kept.sum()).view(1))

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        plus, minus = (region.to(w.dtype) for region in self._regions(w.detach()))
        out: Tensor = _TrainedTernary.apply(w, plus, minus, self.up.to(w.dtype), self.down.to(w.dtype))
        return out

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        plus, minus = self._regions(at_least_float32(latent))
        up, down = (f.detach().float().expand(latent.shape[0]) for f in (self.up, self.down))
        constant = WeightCode(torch.ones_like(plus), (up - down) / 2)
        return WeightCode(plus, up / 2), WeightCode(~minus, down / 2), constant

    def extra_repr(self) -> str:
        return f"ratio={self.ratio:g}"
