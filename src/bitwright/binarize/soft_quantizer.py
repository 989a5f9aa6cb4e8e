"""DSQ's quantizer: 2^bits levels between two bounds, with the gradient of a chain of tanh steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitwright.binarize.part import Part
from bitwright.binarize.sign import at_least_float32, replace_value

_STEEPEST = 1000.0


class SoftQuantizer(Part):
    """`l + D rint((x - l) / D)` cut to [l, u], D = (u - l) / (2^bits - 1); backward through the tanh of each interval.

    One bit: l below the middle, u from the middle on.

    Inside, with i the interval and m its middle, the gradient is that of `l + D (i + (phi + 1)/2)`,
    `phi = s tanh(k (x - m))`, `s = 1 / (1 - alpha)`, `k = ln(2/alpha - 1) / D`, i a constant; outside it is that of l
    or u. DSQ, ICCV 2019, algorithm 1.

    Args:
        bits: 1 to 8.
        alpha: distance of a step to the true one, 0 < alpha < 0.5.
        learn_alpha: alpha is a parameter (kept inside its range), else a buffer.
        penalty: weight of alpha^2 in the loss.
        soft: the forward is the tanh itself, not its sign (for checks).
    """

    alpha: Tensor

    def __init__(
        self, bits: int, alpha: float = 0.2, learn_alpha: bool = False, penalty: float = 0.0, soft: bool = False
    ) -> None:
        super().__init__()
        if not 1 <= bits <= 8:
            raise ValueError(f"a soft quantizer has 1 to 8 bits, got {bits}")
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha must lie between 0 and 0.5, got {alpha}")
        if not penalty >= 0:
            raise ValueError(f"the penalty of alpha must be >= 0, got {penalty}")
        self.bits, self.top, self.soft, self.penalty = int(bits), 2 ** int(bits) - 1, bool(soft), float(penalty)
        self.lower = nn.Parameter(torch.tensor(-1.0))
        self.upper = nn.Parameter(torch.tensor(1.0))
        if learn_alpha:
            self.alpha = nn.Parameter(torch.tensor(float(alpha)))
        else:
            self.register_buffer("alpha", torch.tensor(float(alpha)))

    def bounds(self) -> tuple[Tensor, Tensor]:
        """(l, D): the lower level and the distance of levels, which stays positive."""
        low, high = torch.minimum(self.lower, self.upper), torch.maximum(self.lower, self.upper)
        return low, (high - low).clamp_min(1e-6) / self.top

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Bounds from data: mean ± std for one bit, the range within mean ± 3 std for more. Ours.

        Raises:
            ValueError: all values are equal, so there is nothing to put levels between.
        """
        wide = at_least_float32(x)
        mean, std = wide.mean(), wide.std()
        if not (torch.isfinite(std) and float(std) > 0):
            raise ValueError(f"levels need values that differ; the first ones have standard deviation {float(std):g}")
        low, high = mean - std, mean + std
        if self.bits > 1:
            low, high = torch.maximum(wide.min(), mean - 3 * std), torch.minimum(wide.max(), mean + 3 * std)
        self.lower.copy_(low)
        self.upper.copy_(high)

    def affine(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(gain, offset, l, D): the level of x is `rint(gain x + offset)` cut to 0 ... 2^bits - 1; no gradient."""
        with torch.no_grad():
            low, step = self.bounds()
            return 1 / step, -low / step, low, step

    def middle(self) -> Tensor:
        """With one bit: where the upper level begins."""
        low, step = self.bounds()
        return (low + step / 2).detach()

    def level(self, z: Tensor) -> Tensor:
        """0 ... 2^bits - 1 of every element, without gradient; NaN: 0."""
        if self.bits == 1:
            return (z.detach() >= self.middle().to(z.dtype)).to(z.dtype)
        gain, offset, _, _ = (v.to(z.dtype) for v in self.affine())
        return torch.round(torch.nan_to_num(z.detach() * gain + offset, nan=0.0)).clamp(0, self.top)

    def forward(self, x: Tensor) -> Tensor:
        """Shape and dtype of `x`, at least float32."""
        z = at_least_float32(x)
        low, step = (v.to(z.dtype) for v in self.bounds())
        gain, offset, _, _ = (v.to(z.dtype) for v in self.affine())
        position = z.detach() * gain + offset
        level = self.level(z)
        if not torch.is_grad_enabled() and not self.soft:
            return low + step * level
        i = torch.floor(torch.nan_to_num(position, nan=0.0)).clamp(0, self.top - 1)
        alpha = self.alpha.to(z.dtype).clamp(1e-4, 0.5)
        k = (torch.log(2 / alpha - 1) / step).clamp_max(_STEEPEST)
        middle = low + (i + 0.5) * step
        phi = torch.tanh(k * (z - middle)) / (1 - alpha)
        if not self.soft:
            phi = replace_value(phi, 2 * (level - i) - 1, torch.ones_like(phi))
        inside = low + step * (i + (phi + 1) / 2)
        outside = torch.where(position < 0, low, low + step * self.top)
        return torch.where((position < 0) | (position > self.top), outside, inside)

    def regularization(self, latent: Tensor | None = None) -> Tensor | None:
        return None if self.penalty == 0 else self.penalty * self.alpha.square()

    def extra_repr(self) -> str:
        return f"bits={self.bits}, learn_alpha={isinstance(self.alpha, nn.Parameter)}, penalty={self.penalty:g}"
