"""Estimators that are piecewise linear: a window, a triangle, or nothing at all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.estimators.base import Estimator, EstimatorInfo, positive, register_estimator
from bitwright.binarize.sign import at_least_float32, bsign, open_bounds, pass_inside, replace_value


@register_estimator(
    EstimatorInfo(
        name="identity",
        formula="1",
        summary="straight-through: the gradient passes unchanged",
        parameters={},
        source="Hinton 2012; BinaryConnect, arXiv 1511.00363",
        provenance="code read",
    )
)
class Identity(Estimator):
    def derivative(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    def attach(self, x: Tensor, value: Tensor) -> Tensor:
        return replace_value(x, value, torch.ones((), dtype=x.dtype, device=x.device))

    def primitive(self, x: Tensor) -> Tensor:
        return x


@register_estimator(
    EstimatorInfo(
        name="clipped",
        formula="1 if |x| <= t (strict: < t), else 0",
        summary="saturating straight-through, the derivative of hardtanh",
        parameters={"t": "half width, 1", "strict": "True: the ends are outside, as in XNOR-Net's code"},
        source="BNN, arXiv 1602.02830 section 1.3",
        provenance="paper read",
    )
)
class Clipped(Estimator):
    def __init__(self, t: float = 1.0, strict: bool = False) -> None:
        super().__init__()
        self.t = positive("t", t)
        self.strict = bool(strict)
        self._bounds = open_bounds(-self.t, self.t, closed=not self.strict)

    def attach(self, x: Tensor, value: Tensor) -> Tensor:
        return pass_inside(x, value, self._bounds) if x.dtype in self._bounds else super().attach(x, value)

    def derivative(self, x: Tensor) -> Tensor:
        inside = x.abs() < self.t if self.strict else x.abs() <= self.t
        return inside.to(x.dtype)

    def primitive(self, x: Tensor) -> Tensor:
        return x.clamp(-self.t, self.t)

    def extra_repr(self) -> str:
        return f"t={self.t}, strict={self.strict}"


@register_estimator(
    EstimatorInfo(
        name="approxsign",
        formula="max(0, 2 - 2|x|)",
        summary="triangle, the derivative of Bi-Real Net's piecewise quadratic sign",
        parameters={},
        source="Bi-Real Net, arXiv 1808.00278 equation 7",
        provenance="paper read",
    )
)
class ApproxSign(Estimator):
    def derivative(self, x: Tensor) -> Tensor:
        return x.abs().mul_(-2).add_(2).clamp_min_(0)

    def primitive(self, x: Tensor) -> Tensor:
        y = x.clamp(-1, 1)
        return 2 * y - y * y.abs()


@register_estimator(
    EstimatorInfo(
        name="window",
        formula="1 if low <= x <= high (open: <), else 0",
        summary="straight-through inside a window that need not be symmetric",
        parameters={"low": "0", "high": "1", "closed": "whether the ends are inside, True"},
        source="DoReFa-Net, arXiv 1606.06160: the derivative of clip(x, 0, 1)",
        provenance="paper read",
    )
)
class Window(Estimator):
    def __init__(self, low: float = 0.0, high: float = 1.0, closed: bool = True) -> None:
        super().__init__()
        if not low < high:
            raise ValueError(f"a window needs low < high, got low={low}, high={high}")
        self.low, self.high, self.closed = float(low), float(high), bool(closed)
        self._bounds = open_bounds(self.low, self.high, self.closed)

    def attach(self, x: Tensor, value: Tensor) -> Tensor:
        return pass_inside(x, value, self._bounds) if x.dtype in self._bounds else super().attach(x, value)

    def derivative(self, x: Tensor) -> Tensor:
        if self.closed:
            return ((x >= self.low) & (x <= self.high)).to(x.dtype)
        return ((x > self.low) & (x < self.high)).to(x.dtype)

    def primitive(self, x: Tensor) -> Tensor:
        zero = min(max(0.0, self.low), self.high)
        return x.clamp(self.low, self.high) - zero

    def extra_repr(self) -> str:
        return f"low={self.low}, high={self.high}, closed={self.closed}"


@register_estimator(
    EstimatorInfo(
        name="halfrange",
        formula="1 if -0.3 < x < 1, else 0",
        summary="half-range window for {0,1} activations",
        parameters={"low": "-0.3", "high": "1", "closed": "False"},
        source="Si-BNN, AAAI 2020; repository peiswang/SiBNN",
        provenance="code read",
    )
)
class HalfRange(Window):
    def __init__(self, low: float = -0.3, high: float = 1.0, closed: bool = False) -> None:
        super().__init__(low, high, closed)


@register_estimator(
    EstimatorInfo(
        name="poke",
        formula="1 if |x| < bound * (1 - 2^-7), else 0",
        summary="clipping bound of a floor quantizer",
        parameters={"bound": "3"},
        source="PokeBNN, CVPR 2022; repository google/aqt",
        provenance="code read",
    )
)
class Poke(Estimator):
    def __init__(self, bound: float = 3.0) -> None:
        super().__init__()
        self.bound = positive("bound", bound)
        self.edge = self.bound * (1 - 2.0**-7)

    def derivative(self, x: Tensor) -> Tensor:
        return (x.abs() < self.edge).to(x.dtype)

    def primitive(self, x: Tensor) -> Tensor:
        return x.clamp(-self.edge, self.edge)

    def extra_repr(self) -> str:
        return f"bound={self.bound}"


@register_estimator(
    EstimatorInfo(
        name="stateaware",
        formula="minus if -1 <= x < 0, plus if 0 <= x <= 1, else 0",
        summary="clipped straight-through with a coefficient of its own for each state",
        parameters={
            "minus": "coefficient of the state -1, 1",
            "plus": "coefficient of the state +1, 1",
            "learned": "True: both are parameters, kept positive by softplus; the two are their values at the start",
        },
        source="SA-BNN, AAAI 2021: two independent coefficients from the abstract, the rule is ours",
        provenance="reconstruction",
    )
)
class StateAware(Estimator):
    def __init__(self, minus: float = 1.0, plus: float = 1.0, learned: bool = False) -> None:
        super().__init__()
        self.minus, self.plus, self.learned = positive("minus", minus), positive("plus", plus), bool(learned)
        if learned:
            self.raw = nn.Parameter(torch.log(torch.expm1(torch.tensor([self.minus, self.plus]))))

    def coefficients(self) -> tuple[Tensor | float, Tensor | float]:
        """(minus, plus), differentiable where they are learned."""
        if not self.learned:
            return self.minus, self.plus
        both = F.softplus(self.raw)
        return both[0], both[1]

    def derivative(self, x: Tensor) -> Tensor:
        minus, plus = self.coefficients()
        slope = torch.where(x < 0, torch.ones_like(x) * minus, torch.ones_like(x) * plus)
        return slope * (x.abs() <= 1).to(x.dtype)

    def primitive(self, x: Tensor) -> Tensor:
        minus, plus = self.coefficients()
        return minus * x.clamp(-1, 0) + plus * x.clamp(0, 1)

    def forward(self, x: Tensor, value: Tensor | None = None) -> Tensor:
        if not self.learned or not torch.is_grad_enabled():
            return super().forward(x, value)
        # the value of one side, the gradient of the primitive: to x and to the coefficients
        smooth = self.primitive(at_least_float32(x))
        value = bsign(x.detach()) if value is None else value
        return replace_value(smooth, value, torch.ones_like(smooth)).to(value.dtype)

    def extra_repr(self) -> str:
        return f"minus={self.minus}, plus={self.plus}, learned={self.learned}"
