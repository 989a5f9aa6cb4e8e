"""VGG-small: six convolutions and one dense layer, the standard CIFAR-10 network of the binarization papers."""

from __future__ import annotations

from torch import Tensor, nn

from bitwright.models.registry import Count, register_model
from bitwright.models.style import MethodLike, activation, style_of
from bitwright.models.units import conv2d, init_float_layers

FACTORS = (1, 1, 2, 2, 4, 4)


class VggSmall(nn.Module):
    """Six convolutions of `width` times 1, 1, 2, 2, 4, 4 channels, pooling after every second, then a dense layer.

    Pooling comes before batch norm, so that the maximum is taken over accumulators and the signs are taken after it.
    """

    def __init__(self, num_classes: int, in_channels: int, method: MethodLike, image_size: int, width: int) -> None:
        super().__init__()
        if image_size < 8:
            raise ValueError(f"vgg_small halves the image three times and needs at least 8x8 pixels, got {image_size}")
        if width < 1:
            raise ValueError(f"width is the number of channels of the first layer, at least 1; got {width}")
        act = style_of(method).activation
        layers: list[nn.Module] = []
        channels = in_channels
        for index, factor in enumerate(FACTORS):
            outputs = width * factor
            layers.append(conv2d(channels, outputs, 3, method=None if index == 0 else method))
            if index % 2:
                layers.append(nn.MaxPool2d(2))
            layers += [nn.BatchNorm2d(outputs), activation(act, outputs)]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(channels * (image_size // 8) ** 2, num_classes))
        init_float_layers(self)

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [N, in_channels, image_size, image_size] to logits [N, num_classes]."""
        return self.classifier(self.features(x))


@register_model(
    summary="six 3x3 convolutions of 128 to 512 channels, one dense layer",
    paper="LQ-Nets (1807.10029); input and classifier float as in IR-Net (1909.10788)",
    year=2018,
    provenance="code read",
    input_size=(3, 32, 32),
    counts=(
        Count({"method": None}, 4_660_106, 0, "closed form"),
        Count({"method": "irnet"}, 4_660_106, 4_571_136, "closed form"),
    ),
)
def vgg_small(
    num_classes: int = 10, in_channels: int = 3, method: MethodLike = "irnet", image_size: int = 32, width: int = 128
) -> VggSmall:
    """VGG-small. `image_size` (of a square image) sets the size of the dense layer; `width` is 128 in the papers."""
    return VggSmall(num_classes, in_channels, method, image_size, width)
