"""The forward of every binarizer (`bsign`) and the one autograd function behind every backward (`replace_value`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def bsign(x: Tensor) -> Tensor:
    """+1 where `x >= 0` (so 0 and -0.0 give +1), else -1 (so NaN gives -1). Shape and dtype of `x`; no gradient.

    `torch.sign` is not used anywhere: it has three values, and a 0 cannot be packed in a bit.

    Raises:
        TypeError: `x` is not a floating-point tensor.
    """
    if not x.is_floating_point():
        raise TypeError(f"bsign needs a floating-point tensor, got {x.dtype}")
    return (x >= 0).to(x.dtype) * 2 - 1


class _ReplaceValue(torch.autograd.Function):
    """Forward: `value`. Backward to `x`: upstream gradient times `slope`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        ctx.dtype = x.dtype
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        # float32 for half-precision gradients: a product of two bfloat16 numbers would be rounded twice
        return (grads[0] * slope).to(ctx.dtype), None, None


def replace_value(x: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """`value` in the forward pass; in the backward pass the gradient to `x` is the upstream gradient times `slope`.

    All three have the same shape (`slope` may be a scalar); `value` and `slope` get no gradient. Unlike
    `value + slope * (x - x.detach())` the result is exact for infinite and NaN `x` too.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return value
    out: Tensor = _ReplaceValue.apply(x, value.detach(), slope.detach())
    return out


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or unchanged if it is float64: half precision is too coarse for thresholds and slopes."""
    return x if x.dtype == torch.float64 else x.float()
