"""Small networks that use every layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitwright.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryConv3d,
    BinaryConvTranspose2d,
    BinaryEmbedding,
    BinaryLinear,
    RPReLU,
    RSign,
)

from .oracles import scramble


class Block(nn.Module):
    """ReActNet's half block: binary convolution, batch norm, residual, RPReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = BinaryConv2d(channels, channels, 3, padding=1, method="reactnet")
        self.bn = nn.BatchNorm2d(channels)
        self.act = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.bn(self.conv(x)))


class ImageNet(nn.Module):
    """Stem, blocks of which one is shared under two names and one is called twice, pooling, flatten, binary head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 40, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(40)
        self.block1 = Block(40)
        self.block2 = Block(40)
        self.again = self.block2
        self.pool = nn.MaxPool2d(2)
        self.act = nn.PReLU(40)
        self.relu = nn.ReLU(inplace=True)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.drop = nn.Dropout(0.5)
        self.hidden = BinaryLinear(40, 33, bias=True)
        self.norm = nn.BatchNorm1d(33)
        self.head = nn.Linear(33, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.stem(x))
        x = self.again(self.block1(self.block2(self.block1(x))))
        x = self.act(self.pool(x))
        x = self.drop(self.flatten(self.gap(x)))
        return self.head(self.relu(self.norm(self.hidden(x))))


class Zoo(nn.Module):
    """One layer of each kind side by side, so that one export shows them all."""

    def __init__(self) -> None:
        super().__init__()
        self.line = BinaryConv1d(6, 4, 3, 2, 1, groups=2, method="reactnet", bias=True, pad_value=-1)
        self.plane = BinaryConv2d(35, 4, 3, padding=2, dilation=2, method="dorefa", pad_value=1)
        self.volume = BinaryConv3d(3, 5, 2, padding="same", pad_mode="replicate")
        self.up = BinaryConvTranspose2d(35, 4, 3, 2, 1, 1, method="reactnet")
        self.table = BinaryEmbedding(20, 37, method="reactnet")
        self.dense = BinaryLinear(37, 5, method="reactnet", activation={"low": 0.0})
        self.levels = BinaryConv2d(35, 4, 3, padding=1, method="dorefa", a_bits=3)
        self.level_dense = BinaryLinear(37, 6, method="dorefa", a_bits=2)
        self.weight_only = BinaryConv2d(35, 4, 3, padding=1, activation=None, method="reactnet", bias=True)
        self.weight_only_dense = BinaryLinear(37, 6, activation=None, method="reactnet")
        self.sign = RSign(35)
        self.token_sign = RSign(37, channel_dim=-1)

    def forward(self, line: Tensor, plane: Tensor, volume: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        rows = self.table(ids)
        return (
            self.line(line),
            self.plane(plane),
            self.volume(volume),
            self.up(plane),
            rows,
            self.dense(rows),
            self.levels(plane),
            self.level_dense(rows),
            self.weight_only(plane),
            self.weight_only_dense(rows),
            self.sign(plane),
            self.token_sign(rows),
        )

    @staticmethod
    def example(batch: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(batch)
        return (
            torch.randn(batch, 6, 9, generator=generator),
            torch.randn(batch, 35, 6, 5, generator=generator),
            torch.randn(batch, 3, 4, 3, 5, generator=generator),
            torch.randint(0, 20, (batch, 7), generator=generator),
        )


def image_net() -> ImageNet:
    net = ImageNet()
    scramble(net)
    return net.eval()


def zoo() -> Zoo:
    net = Zoo()
    scramble(net)
    return net.eval()
