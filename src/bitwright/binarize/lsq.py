"""Learned Step Size Quantization's gradient, shared by its weights and activations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, step: Tensor, levels: Tensor, low: float, high: float, factor: float) -> Tensor:
        ctx.save_for_backward(v, step, levels)
        ctx.facts = (low, high, factor)
        return levels * step

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None, None, None]:
        v, step, levels = ctx.saved_tensors
        low, high, factor = ctx.facts
        g = grads[0]
        r = v / step
        inside = (r > low) & (r < high)
        to_step = torch.where(inside, levels - r, levels)
        return g * inside, ((g * to_step).sum() * factor).view_as(step), None, None, None, None


def learned_step(v: Tensor, step: Tensor, levels: Tensor, low: float, high: float, factor: float) -> Tensor:
    """`levels * step` with LSQ's gradients (paper, equations 3 and 5).

    To `v`: g where `low < v/step < high`, else 0. To `step` (`[1]`): `factor` times the sum of g times
    `levels - v/step` inside and `levels` outside.

    Args:
        v: what was quantized.
        step: `[1]`.
        levels: the integers, between low and high, without gradient.
    """
    out: Tensor = _Step.apply(v, step, levels, low, high, factor)
    return out
