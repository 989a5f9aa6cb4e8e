"""Activations with learned shifts per channel: RSign and RPReLU of ReActNet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.activations import SignActivation
from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape, Staged


def _reshape(values: Tensor, x: Tensor, channel_dim: int) -> Tensor:
    dim = channel_dim % x.dim()
    return values.view(-1, *(1,) * (x.dim() - 1 - dim))


class ChannelShift(nn.Module):
    """`x + b`, b learned per channel and 0 at the start.

    Args:
        channels: C.
        channel_dim: the axis of C: 1 for maps, -1 for tokens.
    """

    def __init__(self, channels: int, channel_dim: int = 1) -> None:
        super().__init__()
        self.channels, self.channel_dim = channels, channel_dim
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + _reshape(self.bias, x, self.channel_dim)

    def extra_repr(self) -> str:
        return f"{self.channels}, channel_dim={self.channel_dim}"


class RSign(Staged):
    """`bsign(x + b)`, b learned per channel: the binarizer of ReActNet as a module of its own, for inputs shared by
    several layers.

    The layers behind it should then have `activation={"shift": "none", "estimator": "identity"}`: their sign of ±1
    changes nothing. ReActNet, ECCV 2020, section 4.2 (code read).

    Args:
        channels: C, axis 1 of the input.
        estimator: backward rule.
        channel_dim: 1 for maps, -1 for tokens.
    """

    def __init__(self, channels: int, estimator: EstimatorSpec = "approxsign", channel_dim: int = 1) -> None:
        super().__init__()
        self._init_stage()
        self.channels, self.channel_dim = channels, channel_dim
        shape = LayerShape(kind="linear", in_channels=channels, out_channels=channels)
        self.activation = SignActivation(shape, estimator=estimator, shift="channel")

    def forward(self, x: Tensor) -> Tensor:
        # the activation works on the last axis, so the same code serves maps and tokens
        y = x.movedim(self.channel_dim, -1)
        y = self.activation.real(y) if self._stage == "float" else self.activation(y)
        return y.movedim(-1, self.channel_dim)

    def extra_repr(self) -> str:
        return f"{self.channels}, channel_dim={self.channel_dim}"


class _RPReLUFunction(torch.autograd.Function):
    """RPReLU whose backward needs few passes over memory: those of torch's PReLU and `where` are slow on a CPU.

    Value and gradient are those of the composition (at z = 0 the slope's side).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, shift_in: Tensor, slope: Tensor, shift_out: Tensor, channel_dim: int) -> Tensor:
        z = x + _reshape(shift_in, x, channel_dim)
        ctx.save_for_backward(z, slope)
        ctx.channel_dim = channel_dim
        y, shift = _prelu(z, slope, channel_dim), _reshape(shift_out, x, channel_dim)
        # under autocast PReLU alone is lowered: the sum then keeps the shift's wider type
        return y.add_(shift) if torch.promote_types(y.dtype, shift.dtype) == y.dtype else y + shift

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        (g,) = gradients
        z, slope = ctx.saved_tensors
        others = [d for d in range(z.dim()) if d != ctx.channel_dim % z.dim()]
        above = torch.ops.aten.threshold_backward(g, z, 0)  # g where z > 0, else 0
        below = g - above
        gradient = torch.addcmul(above, below, _reshape(slope.to(z.dtype), z, ctx.channel_dim))
        slopes = below.mul_(z).sum(others)
        return gradient, gradient.sum(others), slopes.to(slope.dtype), g.sum(others), None


def _prelu(z: Tensor, slope: Tensor, channel_dim: int) -> Tensor:
    """z above 0, slope z below; a map of its own."""
    slope = slope.to(z.dtype)
    if channel_dim % z.dim() == 1:
        return F.prelu(z, slope)
    return torch.where(z >= 0, z, _reshape(slope, z, channel_dim) * z)


class RPReLU(nn.Module):
    """`PReLU(x + shift_in) + shift_out` with learned shifts and slope per channel.

    With gamma = -shift_in: `x - gamma + shift_out` above gamma, `slope (x - gamma) + shift_out` below. ReActNet, ECCV
    2020, equation 6 (code read).

    Args:
        channels: C.
        slope: initial slope, 0.25.
        channel_dim: the axis of C: 1 for maps, -1 for tokens.
    """

    def __init__(self, channels: int, slope: float = 0.25, channel_dim: int = 1) -> None:
        super().__init__()
        self.channels, self.channel_dim = channels, channel_dim
        self.shift_in = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), float(slope)))
        self.shift_out = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and not torch.compiler.is_exporting():
            y: Tensor = _RPReLUFunction.apply(x, self.shift_in, self.slope, self.shift_out, self.channel_dim)
            return y
        z = x + _reshape(self.shift_in, x, self.channel_dim)
        z = _prelu(z, self.slope, self.channel_dim)
        return z + _reshape(self.shift_out, x, self.channel_dim)

    def extra_repr(self) -> str:
        return f"{self.channels}, channel_dim={self.channel_dim}"
