"""ResNet-18 and -34 (He et al. 2016) with a shortcut around every binary convolution (Bi-Real Net, Liu et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from bitwright.models.registry import Count, register_model
from bitwright.models.style import MethodLike
from bitwright.models.units import ShortcutKind, StemKind, head, init_float_layers, residual_stages, stem

_PAPER = "Deep Residual Learning (1512.03385); Bi-Real Net (1808.00278); ReActNet (2003.03488)"
_PROVENANCE = "paper and code read; stem, last layer and 1x1 shortcuts stay float"
_IMAGENET = {"num_classes": 1000, "stem": "imagenet"}


class ResNet(nn.Module):
    """Four stages of two-convolution blocks, 64 to 512 channels."""

    def __init__(
        self,
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        num_classes: int,
        in_channels: int,
        method: MethodLike,
        stem_kind: StemKind,
        shortcut_kind: ShortcutKind,
    ) -> None:
        super().__init__()
        if shortcut_kind not in ("A", "B"):
            raise ValueError(f"unknown shortcut {shortcut_kind!r}; known: A (subsample, zero channels), B (1x1 conv)")
        self.stem = stem(stem_kind, in_channels, widths[0], method)
        self.stages = residual_stages(widths, depths, method=method, shortcut_kind=shortcut_kind)
        self.head = head(widths[-1], num_classes, method)
        init_float_layers(self)

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [N, in_channels, H, W] to logits [N, num_classes]."""
        return self.head(self.stages(self.stem(x)))


@register_model(
    summary="18 layers, shortcut around every binary 3x3 convolution",
    paper=_PAPER,
    year=2018,
    provenance=_PROVENANCE,
    input_size=(3, 224, 224),
    counts=(
        Count({**_IMAGENET, "method": None}, 11_689_512, 0, "closed form; the usual float ResNet-18"),
        Count({**_IMAGENET, "method": "bireal"}, 11_689_512, 10_985_472, "Larq Zoo docs; recomputed"),
        Count({**_IMAGENET, "method": "reactnet"}, 11_704_424, 10_985_472, "authors' code; recomputed"),
    ),
)
def resnet18(
    num_classes: int = 1000,
    in_channels: int = 3,
    method: MethodLike = "reactnet",
    stem: StemKind = "imagenet",
    shortcut: ShortcutKind = "B",
) -> ResNet:
    """ResNet-18. `stem="cifar"` is for small images: 3x3 stride 1, no pooling."""
    return ResNet((2, 2, 2, 2), (64, 128, 256, 512), num_classes, in_channels, method, stem, shortcut)


@register_model(
    summary="34 layers, shortcut around every binary 3x3 convolution",
    paper=_PAPER,
    year=2018,
    provenance=_PROVENANCE,
    input_size=(3, 224, 224),
    counts=(
        Count({**_IMAGENET, "method": None}, 21_797_672, 0, "the usual float ResNet-34"),
        Count({**_IMAGENET, "method": "bireal"}, 21_797_672, 21_086_208, "closed form"),
    ),
)
def resnet34(
    num_classes: int = 1000,
    in_channels: int = 3,
    method: MethodLike = "reactnet",
    stem: StemKind = "imagenet",
    shortcut: ShortcutKind = "B",
) -> ResNet:
    """ResNet-34. `stem="cifar"` is for small images: 3x3 stride 1, no pooling."""
    return ResNet((3, 4, 6, 3), (64, 128, 256, 512), num_classes, in_channels, method, stem, shortcut)
