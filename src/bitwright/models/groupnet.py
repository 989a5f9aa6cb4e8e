"""A network of grouped, dilated and pointwise binary convolutions: ours, to use all of them in one trained model."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bitwright.models.registry import register_model
from bitwright.models.style import MethodLike, stem_activation
from bitwright.models.units import BinaryUnit, conv2d, head, init_float_layers


class FloatUnit(nn.Module):
    """The float twin of a binary unit: conv, BN, ReLU, without a shortcut (the block around it has one)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **geometry: Any) -> None:
        super().__init__()
        self.conv = conv2d(in_channels, out_channels, kernel_size, method=None, **geometry)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


def _unit(in_channels: int, out_channels: int, kernel_size: int, method: MethodLike, **geometry: Any) -> nn.Module:
    if method is None:
        return FloatUnit(in_channels, out_channels, kernel_size, **geometry)
    return BinaryUnit(in_channels, out_channels, kernel_size, method=method, **geometry)


class GroupNet(nn.Module):
    """Per stage: a grouped 3x3 and a pointwise unit, twice; the last stage is dilated instead of strided."""

    def __init__(self, num_classes: int, in_channels: int, method: MethodLike, width: int, groups: int) -> None:
        super().__init__()
        if width < 1 or groups < 1 or width % groups:
            raise ValueError(f"width must be a positive multiple of groups, got width={width}, groups={groups}")
        self.stem = nn.Sequential(
            conv2d(in_channels, width, 3, method=None, stride=2), nn.BatchNorm2d(width), stem_activation(method)
        )
        self.stages = nn.Sequential(
            nn.Sequential(
                _unit(width, width, 3, method, groups=groups),
                _unit(width, width, 1, method),
                _unit(width, width, 3, method, groups=groups),
                _unit(width, width, 1, method),
            ),
            nn.Sequential(
                _unit(width, 2 * width, 3, method, stride=2, groups=groups),
                _unit(2 * width, 2 * width, 1, method),
                _unit(2 * width, 2 * width, 3, method, groups=2 * groups),
                _unit(2 * width, 2 * width, 1, method),
            ),
            nn.Sequential(
                _unit(2 * width, 2 * width, 3, method, dilation=2, groups=groups),
                _unit(2 * width, 2 * width, 1, method),
                _unit(2 * width, 2 * width, 3, method, dilation=3, groups=groups),
                _unit(2 * width, 2 * width, 1, method),
            ),
        )
        self.head = head(2 * width, num_classes, method)
        init_float_layers(self)

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [N, in_channels, H, W] to logits [N, num_classes]."""
        return self.head(self.stages(self.stem(x)))


@register_model(
    summary="grouped, dilated and pointwise binary convolutions",
    paper="bitwright",
    year=2026,
    provenance="ours; no published network",
    input_size=(1, 28, 28),
)
def groupnet(
    num_classes: int = 10, in_channels: int = 1, method: MethodLike = "reactnet", width: int = 64, groups: int = 4
) -> GroupNet:
    """`width`: channels of the first stage, a multiple of `groups`."""
    return GroupNet(num_classes, in_channels, method, width, groups)
