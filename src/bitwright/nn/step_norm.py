"""Batch normalization inside a recurrent layer: statistics for every time step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StepNorm(nn.Module):
    """Batch norm of `[N, features]` at time step t; the running statistics of steps 0 to `steps - 1` are kept apart and
    later steps share the last, while gain and bias are those of all steps (Cooijmans et al. 2017; the code of Ardakani
    et al. 2019).

    Args:
        features: channels.
        steps: time steps with statistics of their own, at least 1.
        bias: add a learned bias.
        gain: the gain's starting value; 0.1 keeps the following tanh and sigmoid away from saturation.
        momentum, eps: as in `torch.nn.BatchNorm1d`.

    Raises:
        ValueError: `steps` below 1; in training mode, a batch of one.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        features: int,
        steps: int = 1,
        bias: bool = True,
        gain: float = 0.1,
        momentum: float = 0.1,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"norm_steps must be at least 1, got {steps}")
        self.features, self.steps, self.gain = features, steps, gain
        self.momentum, self.eps = momentum, eps
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.full((features,), gain, **where))
        self.bias = nn.Parameter(torch.zeros(features, **where)) if bias else None
        self.register_buffer("running_mean", torch.zeros(steps, features, **where))
        self.register_buffer("running_var", torch.ones(steps, features, **where))

    def reset_parameters(self) -> None:
        """Gain, bias and statistics as at the start."""
        with torch.no_grad():
            self.weight.fill_(self.gain)
            if self.bias is not None:
                self.bias.zero_()
            self.running_mean.zero_()
            self.running_var.fill_(1)

    def forward(self, x: Tensor, t: int) -> Tensor:
        """x: `[N, features]`; t: the time step, from 0."""
        row = min(t, self.steps - 1)
        mean, var = self.running_mean[row], self.running_var[row]
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, self.momentum, self.eps)

    def extra_repr(self) -> str:
        return f"{self.features}, steps={self.steps}, bias={self.bias is not None}"
