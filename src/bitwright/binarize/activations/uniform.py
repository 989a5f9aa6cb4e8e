"""DoReFa-Net's k-bit activations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode, LevelsCode
from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32


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
