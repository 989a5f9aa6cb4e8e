"""A multi-layer perceptron, as the first binary networks were."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bitwright.models.registry import Count, register_model
from bitwright.models.style import MethodLike
from bitwright.models.units import linear


class Mlp(nn.Module):
    """flatten, dense (float), BN | binary dense, BN | ... | dense (float). Hardtanh after each BN (ReLU in float)."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        method: MethodLike,
        image_size: int,
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden needs at least one width, each at least 1; got {list(hidden)}")
        layers: list[nn.Module] = [nn.Flatten()]
        features = in_channels * image_size * image_size
        for index, width in enumerate(hidden):
            layers.append(linear(features, width, method=None if index == 0 else method))
            layers += [nn.BatchNorm1d(width), nn.ReLU() if method is None else nn.Hardtanh()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            features = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [N, in_channels, image_size, image_size] to logits [N, num_classes]."""
        return self.classifier(self.features(x))


@register_model(
    summary="dense layers; all but the first and the last are binary",
    paper="Binarized Neural Networks (1602.02830)",
    year=2016,
    provenance="paper and code read; the authors also binarize the first layer's weights and the last layer, and use "
    "three layers of 4,096 units: here the first and the last layer stay float",
    input_size=(1, 28, 28),
    counts=(
        Count({"in_channels": 1, "method": None}, 36_831_242, 0, "closed form"),
        Count({"in_channels": 1, "method": "bnn"}, 36_831_242, 33_554_432, "closed form"),
    ),
)
def mlp(
    num_classes: int = 10,
    in_channels: int = 1,
    method: MethodLike = "bnn",
    image_size: int = 28,
    hidden: Sequence[int] = (4096, 4096, 4096),
    dropout: float = 0.0,
) -> Mlp:
    """A perceptron. `hidden`: widths of the hidden layers; `dropout`: share of hidden units dropped in training."""
    return Mlp(num_classes, in_channels, method, image_size, hidden, dropout)
