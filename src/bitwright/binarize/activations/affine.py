"""k-bit activations with a scale and a zero point, the range fixed by data or taken from every sample."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.activations.levels import LevelActivation
from bitwright.binarize.codes import ActivationCode, LevelsCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32, replace_value


@ACTIVATIONS.register("affine")
class AffineActivation(LevelActivation):
    """`step * (q - zero)`, `q = clamp(rint(x / step + zero), 0, 2^k - 1)`; the gradient passes inside the range.

    Static: the range is that of the first batch (`initialize_from_data`), widened to contain 0, and stays; before that
    it is 0 ... 1, or -1 ... 1 if signed. Dynamic: every sample has a step of its own, from its largest absolute value
    (signed: zero point 2^(k-1)) or its largest value (unsigned: zero point 0).

    Args:
        shape: the layer's shape.
        bits: k, 2 to 8.
        signed: whether negative values are kept.
        dynamic: see above.
    """

    step: Tensor
    zero: Tensor

    def __init__(self, shape: LayerShape, bits: int = 8, signed: bool = True, dynamic: bool = False) -> None:
        super().__init__(shape, bits, 2 ** (bits - 1) if signed else 0.0)
        self.signed, self.dynamic = bool(signed), bool(dynamic)
        self.needs_data = not self.dynamic
        start = (2.0 if signed else 1.0) / self.top
        self.register_buffer("step", torch.tensor([start]))
        self.register_buffer("zero", torch.tensor([self.zero_point]))

    def initialize_from(self, x: Tensor) -> None:
        low = x.min().clamp_max(0) if self.signed else x.new_zeros(())
        high = x.max().clamp_min(0)
        step = ((high - low) / self.top).clamp_min(torch.finfo(torch.float32).eps)
        self.step.copy_(step)
        self.zero.copy_(torch.round(-low / step))

    def step_and_zero(self) -> tuple[Tensor, Tensor | float]:
        return self.step, self.zero

    def _sample_step(self, z: Tensor) -> Tensor:
        """`[N, 1, ...]`: the step of every sample (of every row for vectors)."""
        axes = tuple(range(1, z.dim())) if self.shape.channel_dim == 1 else (-1,)
        finite = torch.nan_to_num(z.detach(), nan=0.0)
        if self.signed:
            return (finite.abs().amax(axes, keepdim=True) / (2 ** (self.bits - 1) - 1)).clamp_min(1e-12)
        return (finite.amax(axes, keepdim=True) / self.top).clamp_min(1e-12)

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        step, zero = (self._sample_step(z), self.zero_point) if self.dynamic else self.step_and_zero()
        step = step.to(z.dtype)
        with torch.no_grad():
            if self.dynamic:
                value = self._levels_of(z, step) * step
            else:
                value = self.value(z.detach(), step, zero)
            low, high = (0 - zero) * step, (self.top - zero) * step
            slope = ((z >= low) & (z <= high)).to(z.dtype)
        return replace_value(z, value, slope).to(x.dtype)

    def _levels_of(self, z: Tensor, step: Tensor) -> Tensor:
        """q - zero of a sample-wise step: the same expressions as `prepare` and `terms`."""
        q = torch.round(torch.nan_to_num(z / step + self.zero_point, nan=0.0)).clamp(0, self.top)
        levels = q - self.zero_point
        return torch.where(torch.isnan(z), torch.zeros_like(z), levels) if self.signed else levels

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.dynamic:
            return x, None
        step = self._sample_step(x)
        return x / step, step

    @property
    def prepares(self) -> bool:
        return self.dynamic

    @torch.no_grad()
    def terms(self) -> tuple[ActivationCode | LevelsCode, ...]:
        if not self.dynamic:
            return super().terms()
        one = torch.ones_like(self.step)
        levels = LevelsCode(self.bits, one, one * self.zero_point, one)
        if not self.signed:
            return (levels,)
        return levels, ActivationCode(torch.full_like(one, -torch.inf), 0.0, -one * self.zero_point)

    def extra_repr(self) -> str:
        return f"bits={self.bits}, signed={self.signed}, dynamic={self.dynamic}"
