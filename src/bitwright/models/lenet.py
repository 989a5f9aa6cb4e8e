"""A binary LeNet: float first convolution and classifier, one binary convolution, one binary dense layer."""

from __future__ import annotations

from torch import Tensor, nn

from bitwright.models.registry import Count, register_model
from bitwright.models.style import MethodLike, activation, style_of
from bitwright.models.units import conv2d, init_float_layers, linear


class LeNet(nn.Module):
    """conv 5x5, pool, BN | binary conv 5x5, pool, BN | binary dense, BN | dense."""

    def __init__(
        self, num_classes: int, in_channels: int, method: MethodLike, image_size: int, width: int, hidden: int
    ) -> None:
        super().__init__()
        side = ((image_size - 4) // 2 - 4) // 2
        if side < 1:
            raise ValueError(f"lenet needs images of at least 16x16 pixels, got {image_size}x{image_size}")
        act = style_of(method).activation
        self.features = nn.Sequential(
            conv2d(in_channels, width, 5, method=None, padding=0),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(width),
            activation(act, width),
            conv2d(width, width, 5, method=method, padding=0),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(width),
            activation(act, width),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            linear(width * side * side, hidden, method=method),
            nn.BatchNorm1d(hidden),
            activation("relu" if method is None else "hardtanh", hidden),
            nn.Linear(hidden, num_classes),
        )
        init_float_layers(self)

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [N, in_channels, image_size, image_size] to logits [N, num_classes]."""
        return self.classifier(self.features(x))


@register_model(
    summary="two 5x5 convolutions (one binary), two dense layers (one binary)",
    paper="BMXNet (1705.09864), after LeNet (LeCun et al. 1998)",
    year=2017,
    provenance="reconstruction of the layer list from a released network; biases dropped before batch norm, "
    "max pooling before batch norm",
    input_size=(1, 28, 28),
    counts=(
        Count({"in_channels": 1, "method": None}, 1_140_266, 0, "closed form"),
        Count({"in_channels": 1, "method": "bnn"}, 1_140_266, 1_126_400, "closed form"),
    ),
)
def lenet(
    num_classes: int = 10,
    in_channels: int = 1,
    method: MethodLike = "bnn",
    image_size: int = 28,
    width: int = 64,
    hidden: int = 1000,
) -> LeNet:
    """LeNet. `width`: channels of both convolutions; `hidden`: width of the dense layer."""
    return LeNet(num_classes, in_channels, method, image_size, width, hidden)
