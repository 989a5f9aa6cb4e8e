"""BinaryConnect's weights: ±H, deterministic or drawn with a probability that the latent weight gives."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.inits import Init
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer

LR_SCALES = ("none", "glorot", "glorot_squared")


def fans(shape: LayerShape) -> tuple[int, int]:
    """(n_in, n_out) as BinaryConnect counts them: `I k k` and `O k k`, pooling left out."""
    taps = math.prod(shape.kernel_size)
    return shape.in_channels // shape.groups * taps, shape.out_channels * taps


def glorot(shape: LayerShape) -> float:
    """sqrt(1.5 / (n_in + n_out)): BinaryConnect's Glorot bound."""
    return math.sqrt(1.5 / sum(fans(shape)))


@WEIGHTS.register("bounded")
class BoundedSignWeight(WeightBinarizer):
    """`H bsign(w)`, or in training H with probability `clip((w/H + 1)/2, 0, 1)` and else -H; gradient unchanged.

    The latent weight is clipped to [-H, H] after every step. Code read (BinaryConnect's Theano code).

    Args:
        shape: the layer's shape.
        bound: H, or "glorot" for sqrt(1.5 / (n_in + n_out)).
        stochastic: draw the training weights anew in every forward.
        inference: "sign": eval weights are `H bsign(w)`; "real": the latent weight itself.
        lr_scale: factor on the latent weight's learning rate: "none"; "glorot" 1 / sqrt(1.5 / (n_in + n_out)), for
            Adam; "glorot_squared" its square, for SGD.
    """

    def __init__(
        self,
        shape: LayerShape,
        bound: float | str = 1.0,
        stochastic: bool = False,
        inference: str = "sign",
        lr_scale: str = "none",
    ) -> None:
        super().__init__(shape)
        if inference not in ("sign", "real"):
            raise UnknownNameError("inference of weights", inference, ("sign", "real"))
        if lr_scale not in LR_SCALES:
            raise UnknownNameError("learning rate scale", lr_scale, LR_SCALES)
        if bound != "glorot" and not (isinstance(bound, (int, float)) and 0 < bound < math.inf):
            raise ValueError(f"bound must be a positive number or 'glorot', got {bound!r}")
        self.bound = glorot(shape) if bound == "glorot" else float(bound)
        self.stochastic, self.inference, self.lr_scale = bool(stochastic), inference, lr_scale
        self.latent_range = (-self.bound, self.bound)
        self.planes = 0 if inference == "real" else 1

    def initialize(self, latent: Tensor, init: Init) -> None:
        init(latent, self.shape)
        if self.bound != 1.0:
            latent.mul_(self.bound)

    def probability(self, latent: Tensor) -> Tensor:
        """Of +H."""
        return ((latent / self.bound + 1) / 2).clamp(0, 1)

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        if not self.training and self.inference == "real":
            return w
        if self.training and self.stochastic:
            p = self.probability(w.detach())
            value = (torch.rand_like(p) < p).to(w.dtype) * 2 - 1
        else:
            value = bsign(w.detach())
        if self.bound != 1.0:
            value = value * self.bound
        return replace_value(w, value, torch.ones((), dtype=w.dtype, device=w.device))

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        if self.planes == 0:
            return super().codes(latent)
        scale = torch.full((latent.shape[0],), self.bound, dtype=torch.float32, device=latent.device)
        return (WeightCode(latent >= 0, scale),)

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        factor = 1 / glorot(self.shape)
        if self.lr_scale == "none":
            return {}
        return {"latent": {"lr_factor": factor if self.lr_scale == "glorot" else factor**2}}

    def extra_repr(self) -> str:
        return f"bound={self.bound:g}, stochastic={self.stochastic}, inference={self.inference}"
