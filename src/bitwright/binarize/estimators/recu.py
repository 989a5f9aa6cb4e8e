"""ReCU's rectified clamp: weights beyond a quantile of their distribution get no direct gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.estimators.base import EstimatorInfo, ScheduledEstimator, register_estimator


@register_estimator(
    EstimatorInfo(
        name="recu",
        formula="1 if |x| <= Q, else 0; Q = -mean|x| ln(2 - 2 tau), tau from 0.85 to 0.99 over the epochs",
        summary="clamp at the tau-quantile of a Laplace distribution with the tensor's own mean absolute value",
        parameters={"tau_min": "quantile at the start, 0.85", "tau_max": "quantile at the end, 0.99"},
        source="ReCU, ICCV 2021; repository z-hXu/ReCU",
        provenance="code read",
        needs_epoch=True,
        per_element=False,
    )
)
class ReCU(ScheduledEstimator):
    """Q depends on the whole tensor and is a constant for the gradient; the sign of x does not depend on it."""

    tau: Tensor

    def __init__(self, tau_min: float = 0.85, tau_max: float = 0.99) -> None:
        super().__init__()
        if not 0.5 < tau_min <= tau_max < 1:
            raise ValueError(f"need 0.5 < tau_min <= tau_max < 1, got tau_min={tau_min}, tau_max={tau_max}")
        self.tau_min, self.tau_max = float(tau_min), float(tau_max)
        self.register_buffer("tau", torch.tensor(self.tau_min))

    def at(self, fraction: float) -> None:
        """tau = A exp(fraction) + C, A = (tau_max - tau_min) / (e - 1), C = tau_min - A."""
        a = (self.tau_max - self.tau_min) / (math.e - 1)
        self.tau.fill_(a * math.exp(fraction) + self.tau_min - a)

    def bound(self, x: Tensor) -> Tensor:
        """Q of the tensor, a scalar."""
        return -x.abs().mean() * torch.log(2 - 2 * self.tau.to(x.dtype))

    def derivative(self, x: Tensor) -> Tensor:
        return (x.abs() <= self.bound(x)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"tau_min={self.tau_min}, tau_max={self.tau_max}"
