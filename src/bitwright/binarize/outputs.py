"""Output rules: what a method does to the convolution's result besides the weight's scale."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.part import LayerShape, Part
from bitwright.binarize.parts import OUTPUTS


class OutputRule(Part):
    """Base class: `forward(y, x)` with `y` the layer's result before the bias `[N, O, ...]` and `x` its real input."""

    identity_in_eval = False
    """True: deployment can ignore the rule."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        raise NotImplementedError

    def channel_scale(self) -> Tensor | None:
        """`[O]` when the rule is one factor per output channel, which deployment folds into the weight's scale; else
        None.
        """
        return None


@OUTPUTS.register("channel_scale")
class ChannelScale(OutputRule):
    """A learned factor per output channel, starting at 1 (XNOR-Net++ case 1) or at the mean absolute weight.

    Args:
        shape: the layer's shape.
        start: "ones" or "mean_abs" (set from the latent weight whenever that is set anew).
    """

    def __init__(self, shape: LayerShape, start: str = "ones") -> None:
        super().__init__(shape)
        if start not in ("ones", "mean_abs"):
            raise ValueError(f"start must be 'ones' or 'mean_abs', got {start!r}")
        self.start = start
        self.factor = nn.Parameter(torch.ones(shape.out_channels))

    @torch.no_grad()
    def on_latent(self, latent: Tensor) -> None:
        if self.start == "mean_abs":
            self.factor.copy_(latent.detach().abs().flatten(1).mean(1))

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y * self.shape.per_channel(self.factor)

    def channel_scale(self) -> Tensor:
        return self.factor.detach()


@OUTPUTS.register("input_scale_map")
class InputScaleMap(OutputRule):
    """XNOR-Net's K: the output is multiplied by the mean absolute input under each window (a constant for the
    gradient).

    `A = mean over the group's channels of |x|`, `K = A * box filter` with the layer's own stride, padding and
    dilation; padding of ±1 counts with absolute value 1. For a linear layer K is the mean over the features. K depends
    on the input, so it cannot be folded.

    Raises:
        ValueError: for layers that have no window over their input.
    """

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape)
        if shape.kind not in ("conv", "linear"):
            raise ValueError(f"XNOR-Net's K is defined for convolutions and linear layers, not for {shape.kind!r}")

    @torch.no_grad()
    def scale_map(self, x: Tensor) -> Tensor:
        """K: `[N, O, ...]`-broadcastable, `[N, groups -> O, *out]`, or `[..., 1]` for a linear layer."""
        s = self.shape
        magnitude = x.detach().float().abs()
        if s.kind == "linear":
            return magnitude.mean(-1, keepdim=True)
        a = magnitude.unflatten(1, (s.groups, -1)).mean(2)
        pads = [
            p for begin, end in zip(reversed(s.pads_begin), reversed(s.pads_end), strict=True) for p in (begin, end)
        ]
        if any(pads):
            if s.pad_mode == "replicate":
                a = F.pad(a, pads, mode="replicate")
            else:
                a = F.pad(a, pads, value=abs(s.pad_value))
        box = a.new_full((s.groups, 1, *s.kernel_size), 1 / math.prod(s.kernel_size))
        conv = (F.conv1d, F.conv2d, F.conv3d)[len(s.kernel_size) - 1]
        k = conv(a, box, None, s.stride, 0, s.dilation, s.groups)
        return k.repeat_interleave(s.out_channels // s.groups, dim=1)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return y * self.scale_map(x).to(y.dtype)


class _QuantizeGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, bits: int, noise: bool) -> Tensor:
        ctx.bits, ctx.noise = bits, noise
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        return quantize_gradient(grads[0], ctx.bits, ctx.noise), None, None


def quantize_gradient(grad: Tensor, bits: int, noise: bool = True) -> Tensor:
    """DoReFa-Net's f(dr) = 2m [quantize_k(dr / 2m + 1/2 + N) - 1/2], m the maximum of |dr| over each sample, N uniform
    noise.

    N = u / (2^k - 1), u ~ U(-1/2, 1/2); the argument is clamped to [0, 1] (paper equation 12, code read).
    """
    n = 2**bits - 1
    dims = tuple(range(1, grad.dim()))
    top = grad.abs().amax(dim=dims, keepdim=True) if dims else grad.abs()
    safe = top.clamp_min(torch.finfo(grad.dtype).tiny)
    r = grad / (2 * safe) + 0.5
    if noise:
        r = r + (torch.rand_like(r) - 0.5) / n
    return 2 * top * (torch.round(r.clamp(0, 1) * n) / n - 0.5)


@OUTPUTS.register("gradient_bits")
class GradientBits(OutputRule):
    """Quantizes the gradient at the layer's output to `bits` (DoReFa-Net); the forward is the identity.

    Args:
        shape: the layer's shape.
        bits: 1 to 8.
        noise: stochastic rounding, drawn anew in every backward.
    """

    identity_in_eval = True

    def __init__(self, shape: LayerShape, bits: int = 6, noise: bool = True) -> None:
        super().__init__(shape)
        if not 1 <= bits <= 8:
            raise ValueError(f"gradient bits must be 1 to 8, got {bits}")
        self.bits, self.noise = int(bits), bool(noise)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        out: Tensor = _QuantizeGradient.apply(y, self.bits, self.noise)
        return out

    def extra_repr(self) -> str:
        return f"bits={self.bits}, noise={self.noise}"
