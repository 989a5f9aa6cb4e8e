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
        real: what the "float" stage computes: "clip" to the levels' range, or "tanh".
        stochastic: in training the upper level is drawn with probability `clip((x + shift + 1) / 2, 0, 1)` (BNN's Lua
            code); eval mode is the sign.
    """

    shift: nn.Parameter | None

    def __init__(
        self,
        shape: LayerShape,
        estimator: EstimatorSpec = "clipped",
        shift: str = "none",
        low: float = -1.0,
        real: str = "clip",
        stochastic: bool = False,
    ) -> None:
        super().__init__(shape)
        if shift not in SHIFTS:
            raise UnknownNameError("activation shift", shift, SHIFTS)
        if low not in (-1.0, 0.0):
            raise ValueError(f"the lower level of an activation is -1 or 0, got {low}")
        if real not in ("clip", "tanh"):
            raise UnknownNameError("real activation", real, ("clip", "tanh"))
        self.real_function, self.stochastic = real, bool(stochastic)
        self.estimator = make_estimator(estimator)
        self.low = float(low)
        size = {"none": 0, "channel": shape.in_channels, "layer": 1}[shift]
        self.shift = nn.Parameter(torch.zeros(size)) if size else None

    def _shifted(self, x: Tensor) -> Tensor:
        return x if self.shift is None else x + self.shape.per_channel(self.shift)

    def forward(self, x: Tensor) -> Tensor:
        # half precision would round x + shift, and the bit could differ from x >= -shift
        z = self._shifted(at_least_float32(x))
        if self.training and self.stochastic:
            chance = ((z.detach() + 1) / 2).clamp(0, 1)
            value = (torch.rand_like(chance) < chance).to(z.dtype) * 2 - 1
        else:
            value = bsign(z.detach())
        if self.low == 0:
            value = (value + 1) / 2
        out: Tensor = self.estimator(z, value)
        return out.to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        z = self._shifted(x)
        return torch.tanh(z) if self.real_function == "tanh" else z.clamp(self.low, 1)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        if self.shift is None:
            device = next((b.device for b in self.buffers()), None)
            return (ActivationCode(threshold=torch.zeros(1, device=device), low=self.low),)
        # adding 0.0 turns -0.0 into 0.0
        return (ActivationCode(threshold=-self.shift.detach().float() + 0.0, low=self.low),)

    def extra_repr(self) -> str:
        return f"low={self.low:g}, shift={'none' if self.shift is None else tuple(self.shift.shape)}"
