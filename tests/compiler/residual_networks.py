"""Random residual networks: shortcuts around binary convolutions, downsampling, every kind of epilogue."""

from __future__ import annotations

import numpy as np
import onnx

from .graphs import Builder


class _Net:
    def __init__(self, seed: int, float_shortcuts: bool) -> None:
        self.r = np.random.default_rng(seed)
        self.c, self.size = int(self.r.choice([5, 8, 16, 33])), int(self.r.integers(6, 12))
        self.b = Builder((3, self.size, self.size), seed=seed)
        self.float_shortcuts = float_shortcuts
        self.x = self.b.conv("x", 3, self.c, pads=[1, 1, 1, 1])
        if self.r.random() < 0.5:
            self.x = self.b.op("MaxPool", self.x, kernel_shape=[2, 2], strides=[2, 2])
            self.size //= 2

    def channel(self, low: float, high: float) -> str:
        return self.b.const(self.r.uniform(low, high, (self.c, 1, 1)))

    def after(self, x: str) -> str:
        """What follows an addition."""
        kind = int(self.r.integers(7))
        if kind == 0:
            return str(self.b.op("PRelu", x, self.channel(-0.5, 1.5)))
        if kind == 1:  # RPReLU
            y = self.b.op("PRelu", self.b.op("Sub", x, self.channel(-1, 1)), self.channel(0, 1))
            return str(self.b.op("Add", y, self.channel(-1, 1)))
        if kind == 2:
            return str(self.b.op("Clip", x, self.b.const(-3.0), self.b.const(3.0)))
        if kind == 3:
            return str(self.b.op("Add", x, self.channel(-1, 1)))
        if kind == 4:
            return str(self.b.op("PRelu", x, self.channel(9, 12)))  # too steep for i16
        if kind == 5:
            return str(self.b.op("Tanh", x))
        return x

    def conv(self, stride: int = 1, outputs: int | None = None) -> str:
        outputs = outputs or self.c
        threshold = self.r.uniform(-1, 1, self.c) if self.r.random() < 0.5 else 0.0
        scale = self.r.uniform(0.02, 0.3, outputs) * self.r.choice([-1, 1], outputs)
        y = self.b.bconv(self.x, self.c, outputs, stride=stride, pads=(1, 1, 1, 1), threshold=threshold, scale=scale)
        return self.b.batch_norm(y, outputs) if self.r.random() < 0.7 else y

    def block(self) -> None:
        y = self.conv()
        self.x = self.after(self.b.op("Add", *((y, self.x) if self.r.random() < 0.5 else (self.x, y))))

    def pre_activation(self) -> None:
        """The sum is stored, and a batch norm stands between it and the next sign."""
        z = self.b.batch_norm(self.x, self.c)
        y = self.b.bconv(z, self.c, self.c, pads=(1, 1, 1, 1), scale=self.r.uniform(0.02, 0.3, self.c))
        self.x = self.b.op("Add", y, self.x)

    def downsample(self) -> None:
        if self.size < 4:
            return
        new = self.c + (8 if self.float_shortcuts else 0)
        y = self.conv(2, new)
        kind = "MaxPool" if self.r.random() < 0.5 else "AveragePool"
        s = self.b.op(kind, self.x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=self.size % 2)
        if self.float_shortcuts:
            s = self.b.conv(s, self.c, new, (1, 1))
        self.c, self.size = new, (self.size + 1) // 2
        self.x = self.b.op("Add", y, s)


def residual_network(seed: int, *, float_shortcuts: bool = True) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """A model with one input `x` [3, H, W] and 6 outputs, and the shape of one sample."""
    net = _Net(seed, float_shortcuts)
    net.block()
    for _ in range(int(net.r.integers(2, 5))):
        [net.block, net.block, net.pre_activation, net.downsample][int(net.r.integers(4))]()
    y = net.b.op("Flatten", net.b.op("GlobalAveragePool", net.x))
    weight = net.b.normal(6, net.c) / np.float32(np.sqrt(net.c))
    return net.b.model(net.b.op("Gemm", y, net.b.const(weight), net.b.const(net.b.normal(6)), transB=1)), net.b.shape
