"""DIR-Net's distribution-sensitive two-stage estimator: EDE whose steepness the data may hold back."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.estimators.annealed import EDE
from bitwright.binarize.estimators.base import EstimatorInfo, positive, register_estimator

# A quantile of more elements than this is taken over evenly spaced ones: a sort of a whole map would cost more than
# the convolution.
_SAMPLE = 1 << 16


@register_estimator(
    EstimatorInfo(
        name="dte",
        formula="k' t' (1 - tanh^2(t' x)), t' = min(t, largest t at which a share eps of the x has a slope >= delta), "
        "k' = max(1/t', 1)",
        summary="EDE that never becomes so steep that fewer than a share eps of the elements can still move",
        parameters={
            "t_min": "0.1",
            "t_max": "10",
            "eps": "share of the elements that must keep a slope, 0.1; 0 is EDE",
            "delta": "the slope they must keep, 0.1",
        },
        source="DIR-Net, IJCV 2023 (arXiv 2109.12338): the idea from the abstract, the rule is ours",
        provenance="reconstruction",
        needs_epoch=True,
        per_element=False,
    )
)
class DTE(EDE):
    def __init__(self, t_min: float = 0.1, t_max: float = 10.0, eps: float = 0.1, delta: float = 0.1) -> None:
        super().__init__(t_min, t_max)
        if not 0 <= eps <= 1:
            raise ValueError(f"eps is a share of the elements, 0 to 1, got {eps}")
        # up to 0.5 the reach of a slope shrinks monotonically with t, so "the largest t" is where the two are equal
        if positive("delta", delta) > 0.5:
            raise ValueError(f"delta must be at most 0.5, got {delta}")
        self.eps, self.delta = float(eps), float(delta)

    def reach(self, t: Tensor) -> Tensor:
        """The |x| up to which the slope is at least delta: artanh(sqrt(1 - delta / max(t, 1))) / t."""
        return torch.atanh(torch.sqrt(1 - self.delta / t.clamp_min(1))) / t

    def steepness(self, x: Tensor) -> Tensor:
        """t' for the tensor x, a scalar of x's dtype."""
        t = self.t.to(x.dtype)
        if self.eps == 0 or x.numel() == 0:
            return t
        magnitude = x.detach().abs().flatten()
        if magnitude.numel() > _SAMPLE:
            magnitude = magnitude[:: -(-magnitude.numel() // _SAMPLE)]
        q = torch.kthvalue(magnitude, max(1, math.ceil(self.eps * magnitude.numel()))).values
        # Below t = 1 the reach is a constant over t, so the t is known; above, it is found by halving log t.
        flat = math.atanh(math.sqrt(1 - self.delta)) / q.clamp_min(torch.finfo(x.dtype).tiny)
        low, high = torch.ones_like(flat), torch.full_like(flat, max(self.t_max, 1.0))
        for _ in range(24):
            middle = (low * high).sqrt()
            wide = self.reach(middle) >= q
            low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
        return torch.minimum(t, torch.where(flat < 1, flat, torch.where(self.reach(high) >= q, high, low)))

    def derivative(self, x: Tensor) -> Tensor:
        t = self.steepness(x)
        return (1 / t).clamp_min(1) * t * (1 - torch.tanh(t * x).square())

    def primitive(self, x: Tensor) -> Tensor:
        raise NotImplementedError("the slope of DTE at one element depends on all others")

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}, delta={self.delta}"
