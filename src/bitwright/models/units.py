"""The pieces that networks are made of: a convolution that is binary or float, shortcuts, residual units, stems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from bitwright.models.style import MethodLike, activation, stem_activation, style_of
from bitwright.nn import BinaryConv2d, BinaryLinear

ShortcutKind = Literal["A", "B"]
StemKind = Literal["cifar", "imagenet"]


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    method: MethodLike,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Module:
    """A bias-free convolution, binary by `method` or float (None). Padding defaults to "same" at stride 1."""
    if padding is None:
        padding = dilation * (kernel_size - 1) // 2
    if method is None:
        return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False)
    return BinaryConv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=False,
        method=method,
    )


def linear(in_features: int, out_features: int, *, method: MethodLike) -> nn.Module:
    """A bias-free dense layer, binary by `method` or float (None)."""
    if method is None:
        return nn.Linear(in_features, out_features, bias=False)
    return BinaryLinear(in_features, out_features, bias=False, method=method)


class SubsampleShortcut(nn.Module):
    """Option A of He et al. 2016, section 4.2: every `stride`-th pixel, new channels are zeros (half on each side)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, in, H, W] to [N, out, ceil(H / stride), ceil(W / stride)]."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, zero channels {self.before}+{self.after}"


def shortcut(kind: ShortcutKind, in_channels: int, out_channels: int, stride: int, *, pool: bool) -> nn.Module:
    """The shortcut of a residual unit: identity, or option A, or option B (float 1x1 convolution and batch norm).

    Args:
        pool: option B at stride 2: average pooling before a 1x1 convolution of stride 1 (Bi-Real Net, which keeps all
            pixels), instead of a 1x1 convolution of stride 2 (the float ResNet).
    """
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if kind == "A":
        return SubsampleShortcut(in_channels, out_channels, stride)
    if pool and stride > 1:
        # ceil_mode: an odd map keeps its last row, as the 3x3 convolution of stride 2 beside it does
        down: list[nn.Module] = [nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)]
        stride = 1
    else:
        down = []
    convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(*down, convolution, nn.BatchNorm2d(out_channels))


class BinaryUnit(nn.Module):
    """One binary convolution with its own shortcut (Bi-Real Net, section 3.1), in the order of the method's paper."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        method: MethodLike,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        shortcut_kind: ShortcutKind = "B",
    ) -> None:
        super().__init__()
        style = style_of(method)
        self.norm_first = style.order == "norm_conv"
        self.conv = conv2d(
            in_channels, out_channels, kernel_size, method=method, stride=stride, dilation=dilation, groups=groups
        )
        self.norm = nn.BatchNorm2d(in_channels if self.norm_first else out_channels)
        self.shortcut = shortcut(shortcut_kind, in_channels, out_channels, stride, pool=True)
        self.activation = activation(style.activation, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_first:
            return self.activation(self.conv(self.norm(x))) + self.shortcut(x)
        return self.activation(self.norm(self.conv(x)) + self.shortcut(x))


class BinaryBlock(nn.Sequential):
    """Two binary units: what a basic block becomes when every convolution has its own shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, *, method: MethodLike, shortcut_kind: ShortcutKind
    ) -> None:
        super().__init__(
            BinaryUnit(in_channels, out_channels, method=method, stride=stride, shortcut_kind=shortcut_kind),
            BinaryUnit(out_channels, out_channels, method=method, shortcut_kind=shortcut_kind),
        )


class FloatBlock(nn.Module):
    """The basic block of He et al. 2016: two 3x3 convolutions and one shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, shortcut_kind: ShortcutKind) -> None:
        super().__init__()
        self.conv1 = conv2d(in_channels, out_channels, 3, method=None, stride=stride)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv2d(out_channels, out_channels, 3, method=None)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut(shortcut_kind, in_channels, out_channels, stride, pool=False)
        self.relu1 = nn.ReLU()
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(y + self.shortcut(x))


def residual_block(
    in_channels: int, out_channels: int, stride: int, *, method: MethodLike, shortcut_kind: ShortcutKind
) -> nn.Module:
    """The two-convolution block of a ResNet: binary with two shortcuts, or the usual float one (method None)."""
    if method is None:
        return FloatBlock(in_channels, out_channels, stride, shortcut_kind=shortcut_kind)
    return BinaryBlock(in_channels, out_channels, stride, method=method, shortcut_kind=shortcut_kind)


def residual_stages(
    widths: Sequence[int], depths: Sequence[int], *, method: MethodLike, shortcut_kind: ShortcutKind
) -> nn.Sequential:
    """Stages of residual blocks after a stem of `widths[0]` channels; each stage but the first begins with stride 2."""
    stages = []
    channels = widths[0]
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        blocks = []
        for block in range(depth):
            stride = 2 if index > 0 and block == 0 else 1
            blocks.append(residual_block(channels, width, stride, method=method, shortcut_kind=shortcut_kind))
            channels = width
        stages.append(nn.Sequential(*blocks))
    return nn.Sequential(*stages)


def stem(kind: StemKind, in_channels: int, out_channels: int, method: MethodLike) -> nn.Sequential:
    """The float first layer: 3x3 stride 1 ("cifar") or 7x7 stride 2 and 3x3 max pooling ("imagenet").

    Raises:
        ValueError: unknown kind.
    """
    if kind not in ("cifar", "imagenet"):
        raise ValueError(f"unknown stem {kind!r}; known: cifar, imagenet")
    norm, act = nn.BatchNorm2d(out_channels), stem_activation(method)
    if kind == "cifar":
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False), norm, act)
    convolution = nn.Conv2d(in_channels, out_channels, 7, 2, 3, bias=False)
    return nn.Sequential(convolution, norm, act, nn.MaxPool2d(3, 2, 1))


def head(channels: int, num_classes: int, method: MethodLike) -> nn.Sequential:
    """Average pooling and the float classifier; where norms come before the convolutions, one closes the trunk."""
    closing = [nn.BatchNorm2d(channels)] if style_of(method).order == "norm_conv" else []
    return nn.Sequential(*closing, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def init_float_layers(module: nn.Module) -> None:
    """He initialisation (fan-out) of the float convolutions; binary layers keep what their method drew."""
    for part in module.modules():
        if type(part) is nn.Conv2d:
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
