"""Builds small ONNX models for the tests, and runs them in onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from bitwright.compiler.dialect import (
    BinarizeAttrs,
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryEmbeddingAttrs,
    BinaryLinearAttrs,
    add_functions,
    pack_bits,
)

Array = np.ndarray[Any, Any]
OPSET = 20


class Builder:
    """A graph under construction; every method returns the name of its output."""

    def __init__(
        self, shape: Sequence[int], *, seed: int = 0, dtype: int = TensorProto.FLOAT, batch: Any = "N"
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = tuple(shape)
        self.inputs = [helper.make_tensor_value_info("x", dtype, [batch, *shape])]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def const(self, data: Any, dtype: Any = np.float32) -> str:
        name = f"const_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(data, dtype=dtype), name))
        return name

    def ints(self, *data: int) -> str:
        return self.const(list(data), np.int64)

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attrs: Any) -> Any:
        names = [f"{kind.lower()}_{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"node_{len(self.nodes)}", **attrs))
        return names[0] if outputs == 1 else names

    def normal(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape).astype(np.float32)

    def own(self, attrs: Any, inputs: Sequence[str], module: str) -> str:
        out = f"binary_{len(self.nodes)}"
        self.nodes.append(attrs.make_node(inputs, [out], name=f"node_{len(self.nodes)}", module=module))
        return out

    def _affine(self, outputs: int, scale: Any, bias: Any) -> tuple[str, str]:
        if scale is None:
            scale = self.rng.uniform(0.01, 0.5, outputs)
        if bias is None:
            bias = self.normal(outputs)
        return self.const(np.broadcast_to(scale, outputs)), self.const(np.broadcast_to(bias, outputs))

    def bconv(
        self,
        x: str,
        channels: int,
        outputs: int,
        kernel: Sequence[int] = (3, 3),
        *,
        group: int = 1,
        stride: int = 1,
        dilation: int = 1,
        pads: Sequence[int] | None = None,
        low: float = -1.0,
        pad_mode: str = "constant",
        pad_value: float = 0.0,
        threshold: Any = 0.0,
        scale: Any = None,
        bias: Any = None,
        module: str = "",
    ) -> str:
        n = len(kernel)
        w = pack_bits(self.rng.random((outputs, int(np.prod(kernel)), channels // group)) < 0.5)
        attrs = BinaryConvAttrs(
            kernel_shape=tuple(kernel),
            strides=(stride,) * n,
            dilations=(dilation,) * n,
            pads=tuple(pads) if pads is not None else (0,) * (2 * n),
            group=group,
            channels=channels // group,
            low=low,
            pad_mode=pad_mode,
            pad_value=pad_value,
        )
        inputs = [x, self.const(w, np.uint8), self.const(np.atleast_1d(threshold)), *self._affine(outputs, scale, bias)]
        return self.own(attrs, inputs, module)

    def bconv_transpose(
        self, x: str, channels: int, outputs: int, kernel: Sequence[int], *, stride: int = 1, dilation: int = 1,
        pads: Sequence[int] | None = None, output_padding: int = 0, group: int = 1, low: float = -1.0,
    ) -> str:  # fmt: skip
        n = len(kernel)
        w = pack_bits(self.rng.random((outputs, int(np.prod(kernel)), channels // group)) < 0.5)
        attrs = BinaryConvTransposeAttrs(
            kernel_shape=tuple(kernel),
            strides=(stride,) * n,
            dilations=(dilation,) * n,
            pads=tuple(pads) if pads is not None else (0,) * (2 * n),
            output_padding=(output_padding,) * n,
            group=group,
            channels=channels // group,
            low=low,
        )
        inputs = [x, self.const(w, np.uint8), self.const([0.1]), *self._affine(outputs, None, None)]
        return self.own(attrs, inputs, "")

    def blinear(
        self,
        x: str,
        features: int,
        outputs: int,
        *,
        low: float = -1.0,
        threshold: Any = 0.0,
        scale: Any = None,
        bias: Any = None,
    ) -> str:
        w = pack_bits(self.rng.random((outputs, features)) < 0.5)
        attrs = BinaryLinearAttrs(channels=features, low=low)
        inputs = [x, self.const(w, np.uint8), self.const(np.atleast_1d(threshold)), *self._affine(outputs, scale, bias)]
        return self.own(attrs, inputs, "")

    def embedding(self, x: str, rows: int, channels: int, scale: Any) -> str:
        w = pack_bits(self.rng.random((rows, channels)) < 0.5)
        inputs = [x, self.const(w, np.uint8), self.const(np.atleast_1d(scale))]
        return self.own(BinaryEmbeddingAttrs(channels=channels), inputs, "")

    def binarize(self, x: str, threshold: Any = 0.0, *, low: float = -1.0, axis: int = 1, module: str = "") -> str:
        inputs = [x, self.const(np.atleast_1d(threshold))]
        return self.own(BinarizeAttrs(low=low, axis=axis), inputs, module)

    def conv(
        self,
        x: str,
        channels: int,
        outputs: int,
        kernel: Sequence[int] = (3, 3),
        *,
        group: int = 1,
        bias: bool = True,
        **attrs: Any,
    ) -> str:
        w = self.normal(outputs, channels // group, *kernel) / np.sqrt(np.prod(kernel) * channels)
        inputs = [x, self.const(w)]
        if bias:
            inputs.append(self.const(self.normal(outputs)))
        return str(self.op("Conv", *inputs, group=group, **attrs))

    def batch_norm(self, x: str, channels: int, *, gamma: Any = None, mean: Any = None, var: Any = None) -> str:
        gamma = self.normal(channels) if gamma is None else gamma
        mean = self.normal(channels) if mean is None else mean
        var = self.rng.uniform(0.2, 3, channels) if var is None else var
        names = [self.const(np.broadcast_to(v, channels)) for v in (gamma, self.normal(channels), mean, var)]
        return str(self.op("BatchNormalization", x, *names, epsilon=1e-5))

    def model(self, *outputs: str, functions: bool = True) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, "test", self.inputs, infos, self.constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.bitwright", 1)],
            ir_version=10,
        )
        if functions:
            add_functions(model)
        return model


def onnxruntime(model: onnx.ModelProto, *inputs: Array) -> list[Array]:
    """The model's outputs."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return [np.asarray(o) for o in session.run(None, dict(zip(names, inputs, strict=True)))]
