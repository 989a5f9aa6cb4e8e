"""What activations of k bits with a step and a zero point have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode, LevelsCode
from bitwright.binarize.part import LayerShape


class LevelActivation(ActivationBinarizer):
    """`step * (q - zero)`, `q = clamp(rint(x / step + zero), 0, 2^k - 1)`; NaN becomes 0.

    Deployment sums k bit planes (`LevelsCode`) and, where the zero point is not 0, a constant that padding leaves out,
    so that padded taps count exactly 0.

    Args:
        shape: the layer's shape.
        bits: k, 2 to 8.
        zero: the zero point, 0 for values from 0 on.
    """

    low = 0.0

    def __init__(self, shape: LayerShape, bits: int, zero: float = 0.0) -> None:
        super().__init__(shape)
        if not 2 <= bits <= 8:
            raise ValueError(f"k-bit activations need 2 <= bits <= 8, got {bits} (for 1 bit use kind='sign')")
        self.bits = int(bits)
        self.top = 2**self.bits - 1
        self.planes = self.top
        self.zero_point = float(zero)

    def step_and_zero(self) -> tuple[Tensor, Tensor | float]:
        """(step `[1]`, zero point `[1]` or a number)."""
        raise NotImplementedError

    @property
    def has_zero_point(self) -> bool:
        """Whether a constant is needed beside the levels."""
        return self.zero_point != 0

    def quantize(self, z: Tensor, step: Tensor, zero: Tensor | float) -> Tensor:
        """q, in the expression that deployment evaluates."""
        gain = (1 / step).to(z.dtype)
        scaled = z * gain + zero
        return torch.round(torch.nan_to_num(scaled, nan=0.0)).clamp(0, self.top)

    def value(self, z: Tensor, step: Tensor, zero: Tensor | float) -> Tensor:
        """The quantized activation, without gradient."""
        levels = self.quantize(z, step, zero) - zero
        if self.has_zero_point:
            levels = torch.where(torch.isnan(z), torch.zeros_like(z), levels)
        return levels * step.to(z.dtype)

    def real(self, x: Tensor) -> Tensor:
        step, zero = self.step_and_zero()
        return torch.clamp(x, ((0 - zero) * step).to(x.dtype), ((self.top - zero) * step).to(x.dtype))

    @torch.no_grad()
    def terms(self) -> tuple[ActivationCode | LevelsCode, ...]:
        step, zero = (torch.as_tensor(v, dtype=torch.float32).detach() for v in self.step_and_zero())
        step = step.reshape(1)
        zero = zero.to(step.device).reshape(1)
        levels = LevelsCode(self.bits, 1 / step, zero, step)
        if not self.has_zero_point:
            return (levels,)
        always = torch.full((1,), -torch.inf, device=step.device)
        return levels, ActivationCode(always, 0.0, -step * zero)

    def levels(self) -> LevelsCode | None:
        first = self.terms()[0]
        return first if isinstance(first, LevelsCode) and not self.has_zero_point else None

    def extra_repr(self) -> str:
        return f"bits={self.bits}"
