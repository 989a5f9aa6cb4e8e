"""Activations with learned shifts per channel: RSign and RPReLU of ReActNet."""

from __future__ import annotations

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
        z = x + _reshape(self.shift_in, x, self.channel_dim)
        if self.channel_dim % x.dim() == 1:
            z = F.prelu(z, self.slope.to(z.dtype))
        else:
            z = torch.where(z >= 0, z, _reshape(self.slope, x, self.channel_dim) * z)
        return z + _reshape(self.shift_out, x, self.channel_dim)

    def extra_repr(self) -> str:
        return f"{self.channels}, channel_dim={self.channel_dim}"
