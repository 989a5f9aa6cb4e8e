"""BoolNet's multi-slice sign: each slice of the channels has a threshold of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32, bsign


def slice_shifts(slices: int) -> list[float]:
    """tau of every slice: 0 for one, else `i / (k/2 + 1)` for i = -k/2 ... -1, 1 ... k/2 (k=4: ±1/3, ±2/3).

    Raises:
        ValueError: an odd number of slices above 1.
    """
    if slices == 1:
        return [0.0]
    if slices < 1 or slices % 2:
        raise ValueError(f"BoolNet has 1 slice or an even number of them, got {slices}")
    half = slices // 2
    return [i / (half + 1) for i in range(-half, half + 1) if i]


@ACTIVATIONS.register("slices")
class SlicedSignActivation(ActivationBinarizer):
    """`bsign(x + tau_s)`, s the slice that the channel belongs to: the input's channels are k equal slices, in order.

    `bitwright.nn.repeat_slices` makes k slices of one map; a convolution with k groups then lets slice s feed the
    outputs of group s.

    Args:
        shape: the layer's shape; its input channels are a multiple of `slices`.
        slices: k.
        estimator: backward rule, evaluated at `x + tau`.
    """

    shift: Tensor

    def __init__(self, shape: LayerShape, slices: int = 1, estimator: EstimatorSpec = "clipped") -> None:
        super().__init__(shape)
        shifts = slice_shifts(slices)
        if shape.in_channels % slices:
            raise ValueError(f"{slices} slices need a multiple of {slices} input channels, got {shape.in_channels}")
        self.slices = slices
        self.estimator = make_estimator(estimator)
        values = torch.tensor(shifts).repeat_interleave(shape.in_channels // slices)
        self.register_buffer("shift", values, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        if self.slices > 1:
            z = z + self.shape.per_channel(self.shift.to(z.dtype))
        out: Tensor = self.estimator(z, bsign(z.detach()))
        return out.to(x.dtype)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        threshold = torch.zeros(1, device=self.shift.device) if self.slices == 1 else -self.shift + 0.0
        return (ActivationCode(threshold.float(), -1.0),)

    def extra_repr(self) -> str:
        return f"slices={self.slices}"
