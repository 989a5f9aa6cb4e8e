"""ABC-Net's activations: a sum of comparisons with learned thresholds and learned coefficients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bitwright.binarize.activations.base import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32, replace_value

MASKS = ("forward", "printed")


@ACTIVATIONS.register("bases")
class BasesActivation(ActivationBinarizer):
    """`sum_n beta_n H_n`, `H_n = +1 if x >= 0.5 - v_n else -1`; beta_n (from 1) and v_n are learned.

    Gradients: x and v_n get `beta_n g` where `0 <= x + v_n <= 1`, beta_n gets `sum g H_n`.

    Args:
        shape: the layer's shape.
        shifts: the v_n at the start, one a base.
        mask: "forward": the window above, which fits the forward; "printed": `0 <= x - v_n <= 1`, as the paper prints.
    """

    def __init__(self, shape: LayerShape, shifts: Sequence[float] = (-1.5, 0.0, 1.5), mask: str = "forward") -> None:
        super().__init__(shape)
        if not 1 <= len(shifts) <= 8:
            raise ValueError(f"ABC-Net needs 1 to 8 activation bases, got shifts={tuple(shifts)}")
        if mask not in MASKS:
            raise ValueError(f"mask must be one of {MASKS}, got {mask!r}")
        self.mask = mask
        self.planes = len(shifts)
        self.shift = nn.Parameter(torch.tensor([float(v) for v in shifts]))
        self.coefficient = nn.Parameter(torch.ones(self.planes))

    def forward(self, x: Tensor) -> Tensor:
        z = at_least_float32(x)
        total: Tensor | None = None
        thresholds = 0.5 - self.shift.detach()
        for v, beta, threshold in zip(self.shift, self.coefficient, thresholds, strict=True):
            h = z + v.to(z.dtype)
            with torch.no_grad():
                value = (z >= threshold).to(z.dtype) * 2 - 1
                where = h if self.mask == "forward" else z - v
                slope = ((where >= 0) & (where <= 1)).to(z.dtype)
            term = beta.to(z.dtype) * replace_value(h, value, slope)
            total = term if total is None else total + term
        assert total is not None
        return total.to(x.dtype)

    def real(self, x: Tensor) -> Tensor:
        return x

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        thresholds = (0.5 - self.shift.detach().float()) + 0.0
        scales = self.coefficient.detach().float()
        return tuple(ActivationCode(thresholds[n : n + 1], -1.0, scales[n : n + 1]) for n in range(self.planes))

    def extra_repr(self) -> str:
        return f"bases={self.planes}, mask={self.mask}"
