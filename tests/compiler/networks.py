"""Random small networks for end-to-end tests: binary and float layers, residuals, pooling, every padding."""

from __future__ import annotations

import numpy as np
import onnx

from .graphs import Builder


class _Maker:
    def __init__(self, seed: int) -> None:
        self.r = np.random.default_rng(seed)
        self.c, self.h, self.w = int(self.r.integers(1, 9)), int(self.r.integers(6, 14)), int(self.r.integers(6, 14))
        self.b = Builder((self.c, self.h, self.w), seed=seed)
        self.x = "x"

    def pick(self, *options: int) -> int:
        return int(self.r.choice(options))

    def stem(self) -> None:
        out = self.pick(8, 16, 33, 40)
        self.x = self.b.conv(self.x, self.c, out, pads=[1, 1, 1, 1], bias=bool(self.r.random() < 0.5))
        self.c = out

    def activation(self) -> None:
        kind = self.pick(0, 1, 2, 3, 4)
        if kind == 0:
            self.x = self.b.batch_norm(self.x, self.c)
        elif kind == 1:
            self.x = self.b.op("PRelu", self.x, self.b.const(np.abs(self.b.normal(self.c, 1, 1))))
        elif kind == 2:
            self.x = self.b.op("Clip", self.x, self.b.const(-1.0), self.b.const(1.0))
        elif kind == 3:
            shift = [self.b.const(self.b.normal(self.c, 1, 1)) for _ in range(2)]
            y = self.b.op("PRelu", self.b.op("Sub", self.x, shift[0]), self.b.const(self.b.normal(self.c, 1, 1)))
            self.x = self.b.op("Add", y, shift[1])
        else:
            self.x = self.b.op("Tanh", self.x)

    def binary(self) -> None:
        group = self.pick(1, 1, 1, 2) if self.c % 2 == 0 else 1
        out = group * self.pick(4, 12, 20, 32)
        k = self.pick(1, 2, 3)
        stride = self.pick(1, 1, 2)
        dilation = self.pick(1, 2) if min(self.h, self.w) > 5 else 1
        pad = self.pick(0, 1)
        if min(self.h, self.w) + 2 * pad < dilation * (k - 1) + 1:
            return
        low = -1.0 if self.r.random() < 0.7 else 0.0
        self.x = self.b.bconv(
            self.x, self.c, out, (k, k), group=group, stride=stride, dilation=dilation, pads=(pad,) * 4, low=low,
            pad_mode="edge" if self.r.random() < 0.2 else "constant",
            pad_value=float(self.pick(-1, 0, 1) if low else self.pick(0, 1)),
            threshold=self.b.normal(self.c) if self.r.random() < 0.5 else 0.0,
        )  # fmt: skip
        self.c = out
        self.h, self.w = ((n + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for n in (self.h, self.w))

    def sign(self) -> None:
        threshold = self.b.normal(self.c) if self.r.random() < 0.5 else 0.0
        self.x = self.b.binarize(self.x, threshold, low=-1.0 if self.r.random() < 0.7 else 0.0)

    def residual(self) -> None:
        y = self.b.bconv(self.x, self.c, self.c, pads=(1, 1, 1, 1))
        if self.r.random() < 0.5:
            y = self.b.batch_norm(y, self.c)
        self.x = self.b.op("Add", *((y, self.x) if self.r.random() < 0.5 else (self.x, y)))

    def pool(self) -> None:
        if min(self.h, self.w) < 4:
            return
        kind = "MaxPool" if self.r.random() < 0.5 else "AveragePool"
        self.x = self.b.op(kind, self.x, kernel_shape=[2, 2], strides=[2, 2])
        self.h, self.w = self.h // 2, self.w // 2

    def gate(self) -> None:
        g = self.b.op("GlobalAveragePool", self.x)
        g = self.b.conv(g, self.c, self.c, (1, 1))
        self.x = self.b.op("Mul", self.x, self.b.op("Sigmoid", g))

    def branch(self) -> None:
        y = self.b.bconv(self.x, self.c, 8, pads=(1, 1, 1, 1))
        self.x = self.b.op("Concat", self.x, y, axis=1)
        self.c += 8

    def head(self) -> str:
        if self.r.random() < 0.5:
            y = self.b.op("Flatten", self.x)
            features = self.c * self.h * self.w
            if self.r.random() < 0.5:
                y = self.b.batch_norm(self.b.blinear(y, features, 24), 24)
                features = 24
        else:
            y = self.b.op("Flatten", self.b.op("GlobalAveragePool", self.x))
            features = self.c
        weight = self.b.normal(7, features) / np.float32(np.sqrt(features))
        return str(self.b.op("Gemm", y, self.b.const(weight), self.b.const(self.b.normal(7)), transB=1))


def random_network(seed: int) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """A model with one input `x` and 7 outputs, and the shape of one sample."""
    m = _Maker(seed)
    m.stem()
    steps = [m.activation, m.binary, m.binary, m.residual, m.pool, m.gate, m.branch, m.sign]
    for _ in range(int(m.r.integers(3, 9))):
        steps[int(m.r.integers(len(steps)))]()
    return m.b.model(m.head()), m.b.shape
