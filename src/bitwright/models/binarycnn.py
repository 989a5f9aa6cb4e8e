"""Small residual binary CNNs of our own, for small images and small machines."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bitwright.models.registry import register_model
from bitwright.models.style import MethodLike, stem_activation
from bitwright.models.units import conv2d, head, init_float_layers, residual_stages

_PAPER = "bitwright"
_PROVENANCE = "ours: float stem, then binary units with one shortcut each (blocks as in the method's paper)"


class BinaryCnn(nn.Module):
    """Float 3x3 stem of `stem_stride`, then stages of residual blocks; each stage after the first halves the map."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        method: MethodLike,
        widths: Sequence[int],
        blocks: Sequence[int],
        stem_stride: int,
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(blocks) or min(widths) < 1 or min(blocks) < 1 or stem_stride < 1:
            raise ValueError(
                "widths and blocks need one entry a stage, each at least 1, and stem_stride at least 1; "
                f"got widths={list(widths)}, blocks={list(blocks)}, stem_stride={stem_stride}"
            )
        self.stem = nn.Sequential(
            conv2d(in_channels, widths[0], 3, method=None, stride=stem_stride),
            nn.BatchNorm2d(widths[0]),
            stem_activation(method),
        )
        self.stages = residual_stages(widths, blocks, method=method, shortcut_kind="B")
        self.head = head(widths[-1], num_classes, method)
        init_float_layers(self)

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [N, in_channels, H, W] to logits [N, num_classes]."""
        return self.head(self.stages(self.stem(x)))


@register_model(
    summary="stem and two stages of 64 and 128 channels, for 8x8 images",
    paper=_PAPER,
    year=2026,
    provenance=_PROVENANCE,
    input_size=(1, 8, 8),
)
def binarycnn_s(
    num_classes: int = 10,
    in_channels: int = 1,
    method: MethodLike = "reactnet",
    widths: Sequence[int] = (64, 128),
    blocks: Sequence[int] = (1, 1),
    stem_stride: int = 1,
) -> BinaryCnn:
    """Two blocks (four binary convolutions). `widths` and `blocks`: channels and blocks of each stage."""
    return BinaryCnn(num_classes, in_channels, method, widths, blocks, stem_stride)


@register_model(
    summary="stem of stride 2 and three stages of 32, 64 and 128 channels, for 28x28 images",
    paper=_PAPER,
    year=2026,
    provenance=_PROVENANCE,
    input_size=(1, 28, 28),
)
def binarycnn_m(
    num_classes: int = 10,
    in_channels: int = 1,
    method: MethodLike = "reactnet",
    widths: Sequence[int] = (32, 64, 128),
    blocks: Sequence[int] = (1, 2, 2),
    stem_stride: int = 2,
) -> BinaryCnn:
    """Five blocks (ten binary convolutions). `widths` and `blocks`: channels and blocks of each stage."""
    return BinaryCnn(num_classes, in_channels, method, widths, blocks, stem_stride)
