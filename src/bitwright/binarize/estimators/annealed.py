"""Estimators that become steeper while training goes on. Their state is in buffers, so a checkpoint keeps it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.estimators.base import EstimatorInfo, ScheduledEstimator, positive, register_estimator


class _TemperatureSchedule(ScheduledEstimator):
    """t(e) = 10^(lg t_min + e/E (lg t_max - lg t_min)), k = max(1/t, 1); e counts from 0 to E-1, so t never reaches
    t_max.
    """

    t: Tensor
    k: Tensor

    def __init__(self, t_min: float, t_max: float) -> None:
        super().__init__()
        self.t_min, self.t_max = positive("t_min", t_min), positive("t_max", t_max)
        if t_min > t_max:
            raise ValueError(f"need t_min <= t_max, got t_min={t_min}, t_max={t_max}")
        self.register_buffer("t", torch.tensor(0.0))
        self.register_buffer("k", torch.tensor(0.0))
        self.at(0.0)

    def at(self, fraction: float) -> None:
        t = 10 ** (math.log10(self.t_min) + fraction * (math.log10(self.t_max) - math.log10(self.t_min)))
        self._fill(k=max(1 / t, 1.0), t=t)

    def set(self, *, k: float, t: float) -> None:
        """Sets the two buffers by hand."""
        self._fill(k=k, t=t)
        self.schedule_set.fill_(True)

    def _fill(self, *, k: float, t: float) -> None:
        self.t.fill_(positive("t", t))
        self.k.fill_(positive("k", k))

    def extra_repr(self) -> str:
        return f"t_min={self.t_min}, t_max={self.t_max}"


@register_estimator(
    EstimatorInfo(
        name="ede",
        formula="k t (1 - tanh^2(t x)), k = max(1/t, 1), t from t_min to t_max over the epochs",
        summary="error decay estimator: from nearly the identity to nearly sign",
        parameters={"t_min": "0.1 (paper; the authors' ResNet-20 code has 0.001)", "t_max": "10"},
        source="IR-Net, CVPR 2020; repository htqin/IR-Net",
        provenance="code read",
        needs_epoch=True,
    )
)
class EDE(_TemperatureSchedule):
    def __init__(self, t_min: float = 0.1, t_max: float = 10.0) -> None:
        super().__init__(t_min, t_max)

    def derivative(self, x: Tensor) -> Tensor:
        t = self.t.to(x.dtype)
        # in place: the same products with one tensor of x's size instead of five
        return (t * x.detach()).tanh_().square_().neg_().add_(1).mul_(self.k * t)

    def primitive(self, x: Tensor) -> Tensor:
        return self.k * torch.tanh(self.t * x)


@register_estimator(
    EstimatorInfo(
        name="taa",
        formula="max(0, k (sqrt(2) t - t^2 |x|)), k = max(1/t, 1), t from t_min to t_max over the epochs",
        summary="training-aware approximation: a triangle that narrows",
        parameters={"t_min": "0.01", "t_max": "10", "steep_only": "True: k = 1 and t at least 1 (activations)"},
        source="RBNN, NeurIPS 2020; repository lmbxmu/RBNN",
        provenance="code read",
        needs_epoch=True,
    )
)
class TAA(_TemperatureSchedule):
    def __init__(self, t_min: float = 0.01, t_max: float = 10.0, steep_only: bool = False) -> None:
        self.steep_only = bool(steep_only)
        super().__init__(t_min, t_max)

    def at(self, fraction: float) -> None:
        super().at(fraction)
        if self.steep_only:
            self._fill(k=1.0, t=max(float(self.t), 1.0))

    def derivative(self, x: Tensor) -> Tensor:
        t = self.t.to(x.dtype)
        return (self.k * (math.sqrt(2) * t - t.square() * x.abs())).clamp_min(0)

    def primitive(self, x: Tensor) -> Tensor:
        t = self.t.to(x.dtype)
        edge = float(math.sqrt(2) / t)
        y = x.clamp(-edge, edge)
        return self.k * (math.sqrt(2) * t * y - t.square() * y * y.abs() / 2)


@register_estimator(
    EstimatorInfo(
        name="fourier",
        formula="(4 omega / pi) sum_{i=0..n} cos((2i+1) omega x) if |x| <= window, else 0",
        summary="derivative of sign's truncated Fourier series; more terms while training goes on",
        parameters={
            "n": "last term at the start, 9",
            "n_end": "last term towards the end: n + floor((n_end - n) epoch / epochs), 18",
            "omega": "base frequency, 0.1 (not given in the paper)",
            "window": "outside it the gradient is 0; None: no window",
        },
        source="FDA-BNN, NeurIPS 2021; constants from BiBench's code",
        provenance="paper read; window and omega secondary",
        needs_epoch=True,
    )
)
class Fourier(ScheduledEstimator):
    n: Tensor

    def __init__(self, n: int = 9, n_end: int = 18, omega: float = 0.1, window: float | None = 1.0) -> None:
        super().__init__()
        if n < 0 or n_end < n:
            raise ValueError(f"need 0 <= n <= n_end, got n={n}, n_end={n_end}")
        self.n_start, self.n_end = int(n), int(n_end)
        self.omega = positive("omega", omega)
        self.window = None if window is None else positive("window", window)
        self.register_buffer("n", torch.tensor(float(n)))

    def at(self, fraction: float) -> None:
        self.n.fill_(self.n_start + math.floor((self.n_end - self.n_start) * fraction))

    def derivative(self, x: Tensor) -> Tensor:
        # The sum is sin(m u) / (2 sin u), u = omega x, m = 2(n+1) even. u is reduced to [-pi/2, pi/2] (each pi flips
        # the sign of sin u), where sinc takes the limit at 0 without a special case.
        u = self.omega * x
        turns = torch.round(u / math.pi)
        v = (u - turns * math.pi) / math.pi
        m = 2 * (self.n.to(x.dtype) + 1)
        ratio = m * torch.sinc(m * v) / torch.sinc(v) * (1 - 2 * torch.remainder(turns, 2))
        slope = 2 * self.omega / math.pi * ratio
        if self.window is not None:
            slope = slope * (x.abs() <= self.window).to(x.dtype)
        return slope

    def primitive(self, x: Tensor) -> Tensor:
        y = x if self.window is None else x.clamp(-self.window, self.window)
        total = torch.zeros_like(x)
        for i in range(int(self.n) + 1):
            total = total + 4 / math.pi * torch.sin((2 * i + 1) * self.omega * y) / (2 * i + 1)
        return total

    def extra_repr(self) -> str:
        return f"n={self.n_start}, n_end={self.n_end}, omega={self.omega}, window={self.window}"
