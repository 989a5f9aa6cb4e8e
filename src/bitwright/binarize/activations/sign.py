"""One bit an activation: the sign of the input, with or without a learned shift."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.sign import at_least_float32, bsign

SHIFTS = ("none", "channel", "layer")


@ACTIVATIONS.register("sign")
class SignActivation(ActivationBinarizer):
    """`bsign(x + shift)`; with `low=0`: 1 or 0 instead of ±1.

    Args:
        shape: the layer's shape.
        estimator: backward rule, evaluated at `x + shift`.
        shift: "none", "channel" (learned, RSign of ReActNet) or "layer" (one learned number). Starts at 0.
        low: lower level, -1 or 0.
    """

    shift: nn.Parameter | None

    def __init__(
        self, shape: LayerShape, estimator: EstimatorSpec = "clipped", shift: str = "none", low: float = -1.0
    ) -> None:
        super().__init__(shape)
        if shift not in SHIFTS:
            raise UnknownNameError("activation shift", shift, SHIFTS)
        if low not in (-1.0, 0.0):
            raise ValueError(f"the lower level of an activation is -1 or 0, got {low}")
        self.estimator = make_estimator(estimator)
        self.low = float(low)
        size = {"none": 0, "channel": shape.in_channels, "layer": 1}[shift]
        self.shift = nn.Parameter(torch.zeros(size)) if size else None

    def _shifted(self, x: Tensor) -> Tensor:
        return x if self.shift is None else x + self.shape.per_channel(self.shift)

    def forward(self, x: Tensor) -> Tensor:
        # half precision would round x + shift, and the bit could differ from x >= -shift
        z = self._shifted(at_least_float32(x))
        value = bsign(z.detach())
        if self.low == 0:
            value = (value + 1) / 2
        out: Tensor = self.estimator(z, value)
        return out.to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        return self._shifted(x).clamp(self.low, 1)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        if self.shift is None:
            device = next((b.device for b in self.buffers()), None)
            return (ActivationCode(threshold=torch.zeros(1, device=device), low=self.low),)
        # adding 0.0 turns -0.0 into 0.0
        return (ActivationCode(threshold=-self.shift.detach().float() + 0.0, low=self.low),)

    def extra_repr(self) -> str:
        return f"low={self.low:g}, shift={'none' if self.shift is None else tuple(self.shift.shape)}"
