"""Bi-Real ResNet-18 in OpenVINO: float stem, shortcuts and head, sixteen BinaryConvolutions. Random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset1
from openvino_peer import binarize, binary_conv


class _Net:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def constant(self, *shape: int) -> Any:
        return opset1.constant(self.rng.standard_normal(shape, dtype=np.float32))

    def conv(self, x: Any, channels: int, outputs: int, kernel: int, stride: int) -> Any:
        pad = kernel // 2
        weight = self.constant(outputs, channels, kernel, kernel)
        return opset1.convolution(x, weight, [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])

    def norm(self, x: Any, channels: int) -> Any:
        return opset1.add(opset1.multiply(x, self.constant(1, channels, 1, 1)), self.constant(1, channels, 1, 1))

    def unit(self, x: Any, channels: int, outputs: int, stride: int) -> Any:
        y = binary_conv(binarize(x), self.rng.integers(0, 2, (outputs, channels, 3, 3)), stride)
        y = self.norm(y, outputs)
        if stride > 1:
            x = opset1.avg_pool(x, [2, 2], [0, 0], [0, 0], [2, 2], True, "floor", "explicit")
            x = self.norm(self.conv(x, channels, outputs, 1, 1), outputs)
        return opset1.add(y, x)


def binary_resnet18() -> ov.Model:
    """Input [1, 3, 224, 224], 1000 classes."""
    net = _Net()
    image = opset1.parameter([1, 3, 224, 224], np.float32)
    x = opset1.relu(net.norm(net.conv(image, 3, 64, 7, 2), 64))
    x = opset1.max_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], "floor", "explicit")
    channels = 64
    for outputs in (64, 128, 256, 512):
        for i in range(4):
            x = net.unit(x, channels, outputs, 2 if i == 0 and outputs > 64 else 1)
            channels = outputs
    x = opset1.reduce_mean(x, opset1.constant(np.array([2, 3])), False)
    return ov.Model([opset1.matmul(x, net.constant(512, 1000), False, False)], [image], "binary_resnet18")
