"""Weight binarizers: from the latent weight (filter form) to ±scale, with a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import NotPackableError, WeightCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape, Part
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.scales import SCALES
from bitwright.binarize.sign import at_least_float32, bsign, replace_value

CENTERS = ("none", "filter", "input")
GRADIENTS = ("ste", "scaled", "exact", "paper")


class WeightBinarizer(Part):
    """Base class. Every tensor in and out has filter form `[O, I/groups, *kernel]` unless a subclass changes
    `latent_shape`.
    """

    latent_range: tuple[float, float] | None = None
    """`clip_latent_` clamps the latent weight to it after the optimizer's step; None: never."""
    planes: int = 1
    """Bit planes of `codes`. 0: the weight cannot be expressed by bit planes at all."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.shape = shape

    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the parameter the optimizer moves; experts or factorised weights return another one than the filter
        form.
        """
        return self.shape.filter_shape

    def forward(self, latent: Tensor) -> Tensor:
        """The weight that training convolves with; carries the method's gradient to `latent`."""
        raise NotImplementedError

    def real(self, latent: Tensor) -> Tensor:
        """The weight of the stages in which weights are real."""
        return latent

    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        """The same values as bit planes, without gradient. Raises NotPackableError when `planes` is 0."""
        raise NotPackableError(f"{type(self).__name__} has weights that are not bit planes")


@WEIGHTS.register("sign")
class SignWeight(WeightBinarizer):
    """`scale * bsign(normalised latent weight)`: one bit and one number per filter.

    Args:
        shape: the layer's shape.
        estimator: backward rule of the sign.
        center: subtract the mean over "filter" (all weights of a filter) or "input" (the input channels, per kernel
            position; left out where a filter sees one channel only, since all its weights would become 0), or "none".
        standardize: then divide by the standard deviation of the filter (n - 1 in the denominator).
        scale: rule in `bitwright.binarize.SCALES`: "none", "filter", "layer", "power_of_two".
        gradient: with g the gradient with respect to the binary weight, s the scale, d the estimator's slope, n
            weights a filter: "ste": d g (the scale appears in the value only); "scaled": s d g; "exact": s d g plus
            the gradient through the scale; "paper": (1/n + s d) g, as XNOR-Net prints it. The gradient then passes the
            normalisation by the chain rule.
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
        if self.standardize:
            variance = w.var(dim=axes, keepdim=True)
            # a constant filter has no spread: it stays all zero, with a finite gradient, instead of becoming NaN
            w = w / torch.where(variance > 1e-24, variance, torch.ones_like(variance)).sqrt()
        return w

    def forward(self, latent: Tensor) -> Tensor:
        w = self.normalize(latent)
        scale = SCALES.get(self.scale_rule)(w)
        if self.gradient == "exact":
            return scale * self.estimator(w)
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


@WEIGHTS.register("uniform")
class UniformWeight(WeightBinarizer):
    """DoReFa-Net's k-bit weight, k >= 2: `2 * quantize_k(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1`, max over the layer.

    `2 q / (2^k - 1) - 1` with `q = sum 2^i c_i` equals `sum 2^i (2 c_i - 1) / (2^k - 1)`: k planes of ±1 with scales
    `2^i / (2^k - 1)`.

    Args:
        shape: the layer's shape.
        bits: k, 2 to 8.
        detach_max: True: no gradient through the maximum (Larq); False: the authors' code.
    """

    def __init__(self, shape: LayerShape, bits: int = 2, detach_max: bool = False) -> None:
        super().__init__(shape)
        if not 2 <= bits <= 8:
            raise ValueError(f"k-bit weights need 2 <= bits <= 8, got {bits} (for 1 bit use kind='sign')")
        self.bits = int(bits)
        self.planes = self.bits
        self.detach_max = bool(detach_max)

    def _levels(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(r in [0, 1], its quantized value times 2^k - 1)."""
        t = torch.tanh(at_least_float32(latent))
        top = t.abs().max()
        if self.detach_max:
            top = top.detach()
        r = t / (2 * top.clamp_min(torch.finfo(t.dtype).tiny)) + 0.5
        return r, torch.round(r.detach() * (2**self.bits - 1))

    def forward(self, latent: Tensor) -> Tensor:
        r, q = self._levels(latent)
        n = 2**self.bits - 1
        return 2 * replace_value(r, q / n, torch.ones_like(r)) - 1

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        q = self._levels(latent.detach())[1].to(torch.int64)
        n = 2**self.bits - 1
        ones = torch.ones(latent.shape[0], dtype=torch.float32, device=latent.device)
        return tuple(WeightCode(bits=(q >> i) & 1 == 1, scale=ones * (2**i / n)) for i in range(self.bits))

    def extra_repr(self) -> str:
        return f"bits={self.bits}, detach_max={self.detach_max}"


@WEIGHTS.register("real")
class RealWeight(WeightBinarizer):
    """The latent weight itself: for layers with binary activations and real weights."""

    planes = 0

    def forward(self, latent: Tensor) -> Tensor:
        return latent
