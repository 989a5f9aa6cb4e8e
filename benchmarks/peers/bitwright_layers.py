"""One-layer networks for the engine: small ONNX graphs around the layer that is timed."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from bitwright.compiler.dialect import BinaryConvAttrs, add_functions, pack_bits

TIMED = "timed conv"


class _Graph:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[NodeProto] = []
        self.constants: list[Any] = []

    def constant(self, data: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(data), name))
        return name

    def add(self, op: str, *inputs: str, name: str = "") -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=name or out))
        return out

    def conv(self, x: str, channels: int, outputs: int, kernel: int, stride: int, name: str = "") -> str:
        """Binary convolution and batch norm, padding with true zeros."""
        bits = self.rng.integers(0, 2, (outputs, kernel * kernel, channels)).astype(bool)
        pad = kernel // 2
        attributes = BinaryConvAttrs(
            kernel_shape=(kernel, kernel), strides=(stride, stride), dilations=(1, 1), pads=(pad,) * 4, group=1,
            channels=channels, low=-1.0, pad_mode="constant", pad_value=0.0,
        )  # fmt: skip
        inputs = (
            x,
            self.constant(pack_bits(bits)),
            self.constant(np.zeros(1, np.float32)),
            self.constant(np.ones(outputs, np.float32)),
            self.constant(np.zeros(outputs, np.float32)),
        )
        out = f"t{len(self.nodes)}"
        self.nodes.append(attributes.make_node(inputs, [out], name=name or out))
        spread = (kernel * kernel * channels) ** -0.5
        statistics = (
            self.rng.uniform(0.5, 1.5, outputs),
            self.rng.normal(0, 0.3, outputs),
            self.rng.normal(0, 3, outputs),
        )
        parameters = [self.constant(s.astype(np.float32)) for s in statistics]
        variance = self.constant(np.full(outputs, spread**-2, np.float32))
        return self.add("BatchNormalization", out, *parameters, variance)

    def prelu(self, x: str, channels: int) -> str:
        return self.add("PRelu", x, self.constant(self.rng.uniform(0.1, 0.4, (channels, 1, 1)).astype(np.float32)))

    def model(self, x: str, y: str, shape: tuple[int, int, int]) -> ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "layer",
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.bitwright", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        add_functions(model)
        return model


def layer(size: int, channels: int, outputs: int, stride: int, form: str) -> ModelProto:
    """A model whose op `TIMED` is the 3x3 convolution, between two others: bits arrive and leave as in a network.

    form: "bits" (its output is only binarized), "float" (its output is a float map that nobody binarizes), "block"
    (batch norm, shortcut, PReLU; the float map and its bits leave).
    """
    g = _Graph()
    x = "x"
    before = g.conv(x, channels, channels, 3, 1)
    if form == "block":
        before = g.prelu(g.add("Add", before, x), channels)
    y = g.conv(before, channels, outputs, 3, stride, TIMED)
    if form == "float":
        return g.model(x, y, (channels, size, size))
    if form == "block":
        if stride != 1 or channels != outputs:
            raise ValueError("a block's shortcut needs stride 1 and as many outputs as channels")
        y = g.prelu(g.add("Add", y, before), channels)
        return g.model(x, g.add("Add", g.conv(y, outputs, outputs, 1, 1), y), (channels, size, size))
    return g.model(x, g.conv(y, outputs, 32, 1, 1), (channels, size, size))
