"""Activation binarizers: from the layer's real input to two levels, with a gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bitwright.binarize.codes import ActivationCode, LevelsCode, NotPackableError
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape, Part
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.sign import at_least_float32, bsign

SHIFTS = ("none", "channel", "layer")


class ActivationBinarizer(Part):
    """Base class. Shapes: `[N, C, *spatial]` for convolutions, `[..., C]` for linear layers."""

    planes: int = 1
    """Bit planes of `codes`. 0: the activation cannot be expressed by comparisons with a threshold."""
    low: float = -1.0
    """The lower level, before `scale`: -1.0 (±1) or 0.0 ({0,1})."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Levels (1 and `low`, before `scale()`), dtype of `x`; carries the method's gradient."""
        raise NotImplementedError

    def scale(self) -> Tensor | None:
        """Scalar tensor that multiplies the layer's output, or None for 1. Kept apart so that padding is exact."""
        return None

    def real(self, x: Tensor) -> Tensor:
        """What the "float" stage uses instead of bits."""
        return x.clamp(self.low, 1)

    def codes(self) -> tuple[ActivationCode, ...]:
        """The same levels as bit planes, without gradient. Raises NotPackableError when `planes` is 0."""
        raise NotPackableError(f"{type(self).__name__} has activations that are not comparisons with a fixed threshold")

    def levels(self) -> LevelsCode | None:
        """The same values as equally spaced levels, or None where they are one comparison or cannot be expressed so."""
        return None


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


@ACTIVATIONS.register("uniform")
class UniformActivation(ActivationBinarizer):
    """DoReFa-Net's k-bit activation `round((2^k - 1) clip(x, 0, 1)) / (2^k - 1)`, ties to even.

    With 1 bit the levels are {0, 1} and the threshold is the float32 after 0.5. With k bits the value is the mean of
    `2^k - 1` comparisons, so `codes` has that many {0,1} planes of scale `1 / (2^k - 1)`; deployment takes `levels`
    instead, which are k bit planes of weights 1, 2, 4, ...

    Args:
        shape: the layer's shape.
        bits: k, 1 to 8.
        estimator: backward rule; the default is the gradient of the clip.
    """

    low = 0.0

    def __init__(self, shape: LayerShape, bits: int = 1, estimator: EstimatorSpec = "window") -> None:
        super().__init__(shape)
        if not 1 <= bits <= 8:
            raise ValueError(f"k-bit activations need 1 <= bits <= 8, got {bits}")
        self.bits = int(bits)
        self.planes = 2**self.bits - 1
        self.estimator = make_estimator(estimator)
        self._thresholds = [_first_float_that_rounds_to(j, self.planes) for j in range(1, self.planes + 1)]

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        n = self.planes
        if n == 1:
            # the comparison, not round(): NaN becomes 0 and the bit is the one that deployment computes
            value = (z.detach().float() >= self._thresholds[0]).to(z.dtype)
        else:
            value = torch.round(torch.nan_to_num(z.detach(), nan=0.0).clamp(0, 1) * n) / n
        out: Tensor = self.estimator(z, value)
        return out.to(x.dtype)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        scale = 1.0 if self.planes == 1 else 1 / self.planes
        return tuple(ActivationCode(torch.tensor([t]), 0.0, scale) for t in self._thresholds)

    def levels(self) -> LevelsCode | None:
        n = self.planes
        return None if n == 1 else LevelsCode(self.bits, torch.tensor([float(n)]), torch.zeros(1), 1 / n)

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


def _first_float_that_rounds_to(level: int, n: int) -> float:
    """The smallest float32 x with round(x * n) >= level, ties to even: found by evaluating the expression itself."""
    x = torch.tensor((level - 0.5) / n, dtype=torch.float32)
    down, up = torch.tensor(-math.inf), torch.tensor(math.inf)
    while torch.round(x * n) >= level:
        x = torch.nextafter(x, down)
    while torch.round(x * n) < level:
        x = torch.nextafter(x, up)
    return float(x)
