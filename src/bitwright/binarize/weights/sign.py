"""One bit a weight: the sign of the (normalised) latent weight, times a scale."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.scales import SCALES
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer

CENTERS = ("none", "filter", "input", "layer")
GRADIENTS = ("ste", "scaled", "exact", "paper", "projected")


@WEIGHTS.register("sign")
class SignWeight(WeightBinarizer):
    """`scale * bsign(normalised latent weight)`: one bit and one number per filter.

    Args:
        shape: the layer's shape.
        estimator: backward rule of the sign.
        center: subtract the mean over "filter" (all weights of a filter) or "input" (the input channels, per kernel
            position; left out where a filter sees one channel only, since all its weights would become 0) or "layer"
            (all weights), or "none".
        standardize: then divide by the standard deviation of the filter (n - 1 in the denominator).
        gain: what a standardised weight is multiplied with.
        eps: added to the variance.
        scale: rule in `bitwright.binarize.SCALES`: "none", "filter", "layer", "power_of_two".
        gradient: with g the gradient with respect to the binary weight, s the scale, d the estimator's slope, n
            weights a filter: "ste": d g (the scale appears in the value only); "scaled": s d g; "exact": s d g plus
            the gradient through the scale; "paper": (1/n + s d) g, as XNOR-Net prints it; "projected": (1 - 1/n) d g
            plus the gradient through the scale, Si-BNN. The gradient then passes the normalisation by the chain rule.
        latent_range: (low, high) for `clip_latent_`, or None.

    Raises:
        ValueError: an unknown choice, or a filter of one weight that would be centred away.
    """

    def __init__(
        self,
        shape: LayerShape,
        estimator: EstimatorSpec = "clipped",
        center: str = "none",
        standardize: bool = False,
        gain: float = 1.0,
        eps: float = 0.0,
        scale: str = "filter",
        gradient: str = "ste",
        latent_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(shape)
        if center not in CENTERS:
            raise UnknownNameError("centring", center, CENTERS)
        if gradient not in GRADIENTS:
            raise UnknownNameError("weight gradient", gradient, GRADIENTS)
        if (center == "filter" or standardize) and shape.fan_in < 2:
            raise ValueError(
                "this method centres or standardises every filter, and a filter with a single weight has nothing left "
                "after that; keep this layer in float (skip=...) or choose a method without centring"
            )
        if latent_range is not None and not latent_range[0] < 0 < latent_range[1]:
            raise ValueError(f"latent_range must be (low, high) with low < 0 < high, got {latent_range}")
        self.estimator = make_estimator(estimator)
        self.center = center
        self.standardize = standardize
        if not gain > 0 or not eps >= 0:
            raise ValueError(f"standardisation needs gain > 0 and eps >= 0, got gain={gain}, eps={eps}")
        self.gain, self.eps = float(gain), float(eps)
        self.scale_rule = scale
        SCALES.get(scale)
        self.gradient = gradient
        self.latent_range = None if latent_range is None else (float(latent_range[0]), float(latent_range[1]))

    def normalize(self, latent: Tensor) -> Tensor:
        """The centred, standardised weight whose sign is taken. At least float32."""
        w = at_least_float32(latent)
        axes = tuple(range(1, w.dim()))
        if self.center == "filter":
            w = w - w.mean(dim=axes, keepdim=True)
        elif self.center == "input" and w.shape[1] > 1:
            w = w - w.mean(dim=1, keepdim=True)
        elif self.center == "layer":
            w = w - w.mean()
        if self.standardize:
            variance = w.var(dim=axes, keepdim=True) + self.eps
            # a constant filter has no spread: it stays all zero, with a finite gradient, instead of becoming NaN
            w = w * (self.gain / torch.where(variance > 1e-24, variance, torch.ones_like(variance)).sqrt())
        return w

    def forward(self, latent: Tensor) -> Tensor:
        w = self.normalize(latent)
        scale = SCALES.get(self.scale_rule)(w)
        if self.gradient == "exact":
            return scale * self.estimator(w)
        if self.gradient == "projected":
            return self._projected(w, scale)
        scale = scale.detach()
        if self.gradient == "scaled":
            return scale * self.estimator(w)
        value = scale * bsign(w.detach())
        if self.gradient == "ste":
            out: Tensor = self.estimator(w, value)
            return out
        with torch.no_grad():
            slope = 1 / self.shape.fan_in + scale * self.estimator.derivative(w.detach())
        return replace_value(w, value, slope)

    def _projected(self, w: Tensor, scale: Tensor) -> Tensor:
        """The sign's gradient without its share along the filter's own direction, plus that of the scale."""
        sign = bsign(w.detach())
        with torch.no_grad():
            slope = (1 - 1 / self.shape.fan_in) * self.estimator.derivative(w.detach())
        # the second term is 0 in the value
        return replace_value(w, scale.detach() * sign, slope) + (scale - scale.detach()) * sign

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        w = self.normalize(latent.detach())
        scale = SCALES.get(self.scale_rule)(w).reshape(-1).expand(w.shape[0])
        return (WeightCode(bits=w >= 0, scale=scale.contiguous()),)

    def extra_repr(self) -> str:
        return (
            f"center={self.center}, standardize={self.standardize}, scale={self.scale_rule}, gradient={self.gradient}, "
            f"latent_range={self.latent_range}"
        )
