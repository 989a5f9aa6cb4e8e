"""The forward of every binarizer (`bsign`) and the one autograd function behind every backward (`replace_value`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    if torch.compiler.is_compiling():
        return (x >= 0).to(x.dtype) * 2 - 1
    # the comparison writes floats at once: three passes over memory less than with a bool tensor in between
    bits = torch.empty_like(x, requires_grad=False)
    torch.ge(x.detach(), 0, out=bits)
    return bits.mul_(2).sub_(1)


class _ReplaceValue(torch.autograd.Function):
    """Forward: `value`. Backward to `x`: upstream gradient times `slope`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        ctx.dtype = x.dtype
        return value.view_as(value)  # value is the caller's temporary, so no copy is needed

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        # float32 for half-precision gradients: a product of two bfloat16 numbers would be rounded twice
        return (grads[0] * slope).to(ctx.dtype), None, None


class _PassInside(torch.autograd.Function):
    """Forward: `value`. Backward to `x`: the upstream gradient where `low < x < high`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = (low, high)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        # one pass, where a mask and a product would be four
        return torch.ops.aten.hardtanh_backward(grads[0].to(x.dtype), x, *ctx.bounds), None, None, None


Bounds = Mapping[torch.dtype, tuple[float, float]]


def open_bounds(low: float, high: float, closed: bool) -> Bounds:
    """Bounds for `pass_inside`, by the dtype they are compared in. A closed window becomes the open one between the
    next numbers outside.
    """
    bounds = {}
    for dtype in (torch.float32, torch.float64):
        ends = torch.tensor([low, high], dtype=dtype, device="cpu")  # also where the default device is "meta"
        if closed:
            ends = torch.nextafter(ends, torch.tensor([-math.inf, math.inf], dtype=dtype, device="cpu"))
        bounds[dtype] = (float(ends[0]), float(ends[1]))
    return bounds


def pass_inside(x: Tensor, value: Tensor, bounds: Bounds) -> Tensor:
    """`value` in the forward pass; in the backward pass the upstream gradient where x lies inside the (open) bounds.

    `replace_value` with a slope of 0 and 1, but in one pass over memory instead of four; NaN lets the gradient pass.
    `x` is float32 or float64.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return value
    out: Tensor = _PassInside.apply(x, value.detach(), *bounds[x.dtype])
    return out


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
