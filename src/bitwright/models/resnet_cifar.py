"""The 6n+2-layer ResNets for 32x32 images (He et al. 2016, section 4.2): 16, 32, 64 channels."""

from __future__ import annotations

from bitwright.models.registry import Count, register_model
from bitwright.models.resnet import ResNet
from bitwright.models.style import MethodLike
from bitwright.models.units import ShortcutKind

_PAPER = "Deep Residual Learning (1512.03385); binary with a shortcut per convolution as in IR-Net (1909.10788)"
_PROVENANCE = (
    "paper and code read; option A is parameter-free: every second pixel, zero channels. "
    "IR-Net's extra batch norm before the last layer is left out"
)


def _resnet(
    depth: int, num_classes: int, in_channels: int, method: MethodLike, shortcut: ShortcutKind, width: int
) -> ResNet:
    if width < 1:
        raise ValueError(f"width is the number of channels of the first stage, at least 1; got {width}")
    n = (depth - 2) // 6
    return ResNet((n, n, n), (width, 2 * width, 4 * width), num_classes, in_channels, method, "cifar", shortcut)


@register_model(
    summary="20 layers, 16-32-64 channels",
    paper=_PAPER,
    year=2020,
    provenance=_PROVENANCE,
    input_size=(3, 32, 32),
    counts=(
        Count({"method": None}, 269_722, 0, "closed form"),
        Count({"method": "irnet"}, 269_722, 267_264, "closed form"),
        Count({"method": "bireal", "shortcut": "B"}, 272_474, 267_264, "closed form"),
    ),
)
def resnet20(
    num_classes: int = 10,
    in_channels: int = 3,
    method: MethodLike = "irnet",
    shortcut: ShortcutKind = "A",
    width: int = 16,
) -> ResNet:
    """ResNet-20 for small images. `width` is the number of channels of the first stage; papers that report much higher
    accuracies than others often widen it fivefold without saying so."""
    return _resnet(20, num_classes, in_channels, method, shortcut, width)


@register_model(
    summary="110 layers, 16-32-64 channels",
    paper=_PAPER,
    year=2020,
    provenance=_PROVENANCE,
    input_size=(3, 32, 32),
    counts=(
        Count({"method": None}, 1_727_962, 0, "closed form"),
        Count({"method": "irnet"}, 1_727_962, 1_718_784, "closed form"),
        Count({"method": "bireal", "shortcut": "B"}, 1_730_714, 1_718_784, "closed form"),
    ),
)
def resnet110(
    num_classes: int = 10,
    in_channels: int = 3,
    method: MethodLike = "irnet",
    shortcut: ShortcutKind = "A",
    width: int = 16,
) -> ResNet:
    """ResNet-110 for small images; see `resnet20`."""
    return _resnet(110, num_classes, in_channels, method, shortcut, width)
