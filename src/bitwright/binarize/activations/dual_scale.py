"""BiFSMNv2's activations: a sign and a scaled sign of what it leaves."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.base import ActivationBinarizer, PreparedTerm
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.sign import at_least_float32

SCALES = ("channel", "sample")


def _sign(x: Tensor) -> Tensor:
    """bsign, as operators that export."""
    return (x >= 0).to(x.dtype) * 2 - 1


@ACTIVATIONS.register("dual_scale")
class DualScaleActivation(ActivationBinarizer):
    """`b1 + s b2 - t2`, `b1 = sign(a (x - t0))`, `r = x - b1 - t1`, `s = mean|r|`, `b2 = sign(a r)`.

    t0, t1, t2 are learned per channel (from U(0, 0.001)), a is one learned number (1). The mean runs over each
    channel of each sample of a map, over each row of a vector, and is a constant for the gradient. BiFSMNv2, code read.

    Deployment. With w = ±1 and one output, position and sample, the layer sums
    `sum_ck w_ck b1_ck + sum_c s_c sum_k w_ck b2_ck - sum_ck w_ck t2_c`, c the input channels of the output's group, k
    the taps. The second sum is one count of bits times one number only if all s_c in it are equal: in linear layers
    (one s a row), in convolutions with one input channel a group (s belongs to the output channel) and with
    `scale="sample"`. There the activation is two bit planes, the second with its factor behind the count. Any other
    convolution has as many real numbers in the sum as input channels: C counts of k taps each, which for 1x1 is no
    count at all. There deployment multiplies the real activations with the weight's signs (`weight_only`). t2 is a
    third plane of constant bits (padding cuts it off as it should), in linear layers a number for each output.

    Args:
        shape: the layer's shape.
        estimator: backward rule of both signs.
        scale: "channel", the paper's s; "sample", ours: one s for each sample of a map and one t2 for the layer.
    """

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "clipped", scale: str = "channel") -> None:
        super().__init__(shape)
        if scale not in SCALES:
            raise UnknownNameError("scale of the second sign", scale, SCALES)
        self.scale_rule = scale
        self.estimator = make_estimator(estimator)
        self.is_map = shape.channel_dim == 1
        whole = scale == "sample" and self.is_map
        self.shift = nn.Parameter(torch.empty(2, shape.in_channels).uniform_(0, 1e-3))
        self.shift_out = nn.Parameter(torch.empty(1 if whole else shape.in_channels).uniform_(0, 1e-3))
        self.slope = nn.Parameter(torch.ones(1))
        self.one_scale = not self.is_map or whole
        packable = self.one_scale or shape.in_channels == shape.groups
        self.weight_only = not packable
        self.planes = (3 if self.is_map else 2) if packable else 0

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        return {name: {"lr_factor": 0.1} for name in ("shift", "shift_out", "slope")}

    def _scale(self, rest: Tensor) -> Tensor:
        axes = (-1,) if not self.is_map else tuple(range(1 if self.one_scale else 2, rest.dim()))
        # NaN is the lower level: it must not make a whole channel NaN
        return torch.where(torch.isnan(rest), 0.0, rest).abs().mean(axes, keepdim=True)

    def _numbers(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """a, t0, t1, t2, ready to broadcast against the layer's input."""
        t0, t1 = (self.shape.per_channel(t.to(dtype)) for t in self.shift)
        return self.slope.to(dtype), t0, t1, self.shape.per_channel(self.shift_out.to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        a, t0, t1, t2 = self._numbers(z.dtype)
        first = self.estimator(a * (z - t0))
        rest = z - first - t1
        second = self._scale(rest.detach()) * self.estimator(a * rest)
        return (first + second - t2).to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        return x

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.weight_only:
            return x, None
        _, first, rest, scale, t2 = self._steps(x)
        return first + scale * _sign(rest) - t2, None

    def prepare_terms(self, x: Tensor) -> tuple[PreparedTerm, ...] | None:
        if self.weight_only:
            return None
        z, first, rest, scale, _ = self._steps(x)
        factor = scale
        if not self.one_scale:  # a scale per input channel, which is a group: the same for the group's outputs
            factor = scale.repeat_interleave(self.shape.out_channels // self.shape.groups, 1)
        planes = (PreparedTerm(z, None), PreparedTerm(rest, factor))
        return (*planes, PreparedTerm(first, None)) if self.is_map else planes

    def _steps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(a (x - t0), b1, a r, s, t2); the floats of `forward`."""
        a, t0, t1, t2 = self._numbers(x.dtype)
        z = a * (x - t0)
        first = _sign(z)
        rest = x - first - t1
        return z, first, a * rest, self._scale(rest), t2

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        if self.weight_only:
            return super().codes()
        zero = torch.zeros(1, device=self.slope.device)
        signs = (ActivationCode(zero, -1.0), ActivationCode(zero, -1.0))
        if not self.is_map:
            return signs
        own = -self.shift_out.detach().float()
        if not self.one_scale:
            own = own.repeat_interleave(self.shape.out_channels // self.shape.groups)
        return (*signs, ActivationCode(zero - math.inf, -1.0, own))  # all bits 1

    def addend(self) -> Tensor | None:
        return None if self.is_map else -self.shift_out.detach()

    def extra_repr(self) -> str:
        return f"scale={self.scale_rule}"
