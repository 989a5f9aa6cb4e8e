"""Our ONNX -> QONNX, which Brevitas, FINN and the `qonnx` package read: BipolarQuant and Quant instead of the dialect.

Every result stays the same number: a threshold becomes a subtraction in front of BipolarQuant (x - t >= 0 exactly where
x >= t), weights are ±1 through BipolarQuant with scale 1, and `scale * acc + bias` follows as Mul and Add. QONNX has no
packed weights, so the file holds a float for every bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .dialect import (
    DOMAIN,
    BinarizeAttrs,
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryEmbeddingAttrs,
    BinaryLinearAttrs,
    DialectError,
    LevelConvAttrs,
    LevelLinearAttrs,
    NodeAttrs,
    TensorTypes,
    UnpackWeightAttrs,
    read_node,
    unpack_bits,
)
from .errors import CompileError
from .graph import ModelSource, load_proto

QONNX_DOMAIN = "qonnx.custom_op.general"
F32 = NDArray[np.float32]


def to_qonnx(source: ModelSource, *, batch: int | None = 1) -> onnx.ModelProto:
    """Writes a model of the dialect `ai.bitwright` with QONNX's operators.

    Args:
        source: a path, an `onnx.ModelProto` or an `onnx_ir.Model`.
        batch: the batch size, since QONNX's tools want fixed shapes; None keeps a dynamic one.

    Raises:
        CompileError: the model has no node of the dialect, or a damaged one.
    """
    proto, title = load_proto(source)
    if all(node.domain != DOMAIN for node in proto.graph.node):
        raise CompileError(f"{title} has no node of {DOMAIN}: there is nothing to write as QONNX")
    return _Writer(proto, title, batch).write()


class _Writer:
    def __init__(self, proto: onnx.ModelProto, title: str, batch: int | None) -> None:
        self.title = title
        self.model = onnx.ModelProto()
        self.model.CopyFrom(proto)
        self.graph = self.model.graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer}
        self.names = {name for node in self.graph.node for name in (*node.input, *node.output)} | self.constants.keys()
        self.nodes: list[onnx.NodeProto] = []
        self.added: list[onnx.TensorProto] = []
        if batch is not None:
            self._fix_batch(batch)
        self.source_types = TensorTypes(list(self.model.opset_import), self.model.ir_version)
        for value in self.graph.input:
            self.source_types.add(value.name, value.type)
        for tensor in self.graph.initializer:
            self.source_types.add_constant(tensor)
        for node in self.graph.node:
            self.source_types.add_node(node)

    def write(self) -> onnx.ModelProto:
        graph = self.graph
        for node in graph.node:
            if node.domain != DOMAIN:
                self.nodes.append(node)
                continue
            try:
                attrs = read_node(node)
                _WRITERS[type(attrs)](self, node, attrs)
            except (DialectError, KeyError, ValueError) as error:
                raise CompileError(f"{self.title}: {node.op_type} node {node.name!r}: {error}") from error
        used = {name for node in self.nodes for name in node.input} | {o.name for o in graph.output}
        initializers = [t for t in (*graph.initializer, *self.added) if t.name in used]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(initializers)
        functions = [f for f in self.model.functions if f.domain != DOMAIN]
        opsets = [o for o in self.model.opset_import if o.domain != DOMAIN]
        del self.model.functions[:], self.model.opset_import[:]
        self.model.functions.extend(functions)
        self.model.opset_import.extend([*opsets, helper.make_opsetid(QONNX_DOMAIN, 1)])
        self._infer()
        return self.model

    def _fix_batch(self, batch: int) -> None:
        for value in self.graph.input:
            if value.name not in self.constants and value.type.tensor_type.shape.dim:
                first = value.type.tensor_type.shape.dim[0]
                if not first.HasField("dim_value"):
                    first.dim_value = batch

    def _infer(self) -> None:
        graph = self.graph
        types = TensorTypes(list(self.model.opset_import), self.model.ir_version)
        for value in graph.input:
            types.add(value.name, value.type)
        for tensor in graph.initializer:
            types.add_constant(tensor)
        outputs = {o.name: o for o in graph.output}
        for node in graph.node:
            if node.domain == QONNX_DOMAIN:
                kind = types.get(node.input[0])
                if kind is not None:
                    types.add(node.output[0], kind)
            else:
                types.add_node(node)
            for name in node.output:
                kind = types.get(name)
                if kind is None:
                    continue
                if name in outputs:
                    outputs[name].type.CopyFrom(kind)
                else:
                    graph.value_info.add(name=name, type=kind)

    # --- parts

    def constant(self, value: Any, hint: str) -> str:
        name = self._fresh(hint)
        self.added.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _fresh(self, hint: str) -> str:
        name, number = hint, 1
        while name in self.names:
            number += 1
            name = f"{hint}_{number}"
        self.names.add(name)
        return name

    def add(
        self, op: str, inputs: list[str], hint: str, *, output: str = "", domain: str = "", **attributes: Any
    ) -> str:
        name = output or self._fresh(hint)
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, domain=domain or None, **attributes))
        return name

    def value(self, node: onnx.NodeProto, index: int) -> NDArray[Any]:
        name = node.input[index]
        if name not in self.constants:
            raise DialectError(f"its input {name!r} is no initializer")
        return self.constants[name]

    def rank(self, name: str) -> int:
        """Axes of a tensor of the source."""
        shape = self.source_types.shape(name)
        if shape is None:
            raise DialectError(f"the rank of its input {name!r} is not known")
        return len(shape)

    def bipolar(self, x: str, hint: str) -> str:
        return self.add("BipolarQuant", [x, self.constant(np.float32(1), f"{hint}.one")], hint, domain=QONNX_DOMAIN)

    def signs(self, weight: NDArray[np.bool_], hint: str) -> str:
        values = np.where(weight, np.float32(1), np.float32(-1))
        return self.bipolar(self.constant(values, f"{hint}.weight"), f"{hint}.signs")

    def bits(self, x: str, threshold: NDArray[Any], column: tuple[int, ...], low: float, hint: str) -> str:
        """1 where x >= threshold, else `low`; `column`: the threshold's shape where it has many elements."""
        if np.any(threshold != 0):
            shaped = threshold.reshape(column) if threshold.size > 1 else threshold.reshape(1)
            x = self.add("Sub", [x, self.constant(shaped, f"{hint}.threshold")], f"{hint}.centred")
        y = self.bipolar(x, f"{hint}.bits")
        if low == 0:
            half = self.constant(np.float32(0.5), f"{hint}.half")
            y = self.add("Add", [self.add("Mul", [y, half], f"{hint}.halves"), half], f"{hint}.zero_one")
        return y

    def levels(self, node: onnx.NodeProto, column: tuple[int, ...], bits: int, hint: str) -> str:
        x = node.input[0]
        for op, index, neutral in (("Mul", 2, 1), ("Add", 3, 0)):
            value = self.value(node, index)
            if np.any(value != neutral):
                shaped = value.reshape(column) if value.size > 1 else value.reshape(1)
                x = self.add(op, [x, self.constant(shaped, f"{hint}.{op.lower()}")], f"{hint}.{op.lower()}ed")
        inputs = [
            x,
            *(self.constant(np.float32(v), f"{hint}.{n}") for n, v in (("one", 1), ("zero", 0), ("width", bits))),
        ]
        return self.add(
            "Quant", inputs, f"{hint}.levels", domain=QONNX_DOMAIN, signed=0, narrow=0, rounding_mode="ROUND"
        )

    def epilogue(self, node: onnx.NodeProto, x: str, column: tuple[int, ...], hint: str) -> None:
        """scale * x + bias into the node's output."""
        scale, bias = self.value(node, len(node.input) - 2), self.value(node, len(node.input) - 1)
        steps = [(op, v) for op, v, neutral in (("Mul", scale, 1), ("Add", bias, 0)) if np.any(v != neutral)]
        if not steps:
            self.add("Identity", [x], hint, output=node.output[0])
        for i, (op, v) in enumerate(steps):
            output = node.output[0] if i == len(steps) - 1 else ""
            x = self.add(
                op, [x, self.constant(v.reshape(column), f"{hint}.{op.lower()}")], f"{hint}.scaled", output=output
            )


def _conv(w: _Writer, node: onnx.NodeProto, attrs: BinaryConvAttrs | LevelConvAttrs) -> None:
    hint, ones = node.output[0], (1,) * attrs.rank
    if isinstance(attrs, LevelConvAttrs):
        x = w.levels(node, (-1, *ones), attrs.bits, hint)
        pad_value = 0.0
    else:
        x = w.bits(node.input[0], w.value(node, 2), (-1, *ones), attrs.low, hint)
        pad_value = attrs.pad_value
    pads = attrs.pads
    if any(pads) and (attrs.pad_mode == "edge" or pad_value != 0):
        widths = np.array([0, 0, *attrs.pad_begin, 0, 0, *attrs.pad_end], np.int64)
        inputs = [x, w.constant(widths, f"{hint}.pads"), w.constant(np.float32(pad_value), f"{hint}.pad")]
        x = w.add("Pad", inputs, f"{hint}.padded", mode=attrs.pad_mode)
        pads = (0,) * len(pads)
    packed = unpack_bits(w.value(node, 1), attrs.channels)
    weight = np.moveaxis(packed, 2, 1).reshape(len(packed), attrs.channels, *attrs.kernel_shape)
    y = w.add(
        "Conv", [x, w.signs(weight, hint)], f"{hint}.sum", kernel_shape=attrs.kernel_shape, strides=attrs.strides,
        dilations=attrs.dilations, pads=pads, group=attrs.group,
    )  # fmt: skip
    w.epilogue(node, y, (1, -1, *ones), hint)


def _conv_transpose(w: _Writer, node: onnx.NodeProto, attrs: BinaryConvTransposeAttrs) -> None:
    hint, ones = node.output[0], (1,) * attrs.rank
    x = w.bits(node.input[0], w.value(node, 2), (-1, *ones), attrs.low, hint)
    packed = unpack_bits(w.value(node, 1), attrs.channels)
    grouped = packed.reshape(attrs.group, -1, attrs.taps, attrs.channels).transpose(0, 3, 1, 2)
    weight = grouped.reshape(attrs.group * attrs.channels, -1, *attrs.kernel_shape)
    y = w.add(
        "ConvTranspose", [x, w.signs(weight, hint)], f"{hint}.sum", kernel_shape=attrs.kernel_shape,
        strides=attrs.strides, dilations=attrs.dilations, pads=attrs.pads, output_padding=attrs.output_padding,
        group=attrs.group,
    )  # fmt: skip
    w.epilogue(node, y, (1, -1, *ones), hint)


def _linear(w: _Writer, node: onnx.NodeProto, attrs: BinaryLinearAttrs | LevelLinearAttrs) -> None:
    hint = node.output[0]
    if isinstance(attrs, LevelLinearAttrs):
        x = w.levels(node, (-1,), attrs.bits, hint)
    else:
        x = w.bits(node.input[0], w.value(node, 2), (-1,), attrs.low, hint)
    weight = np.ascontiguousarray(unpack_bits(w.value(node, 1), attrs.channels).T)
    w.epilogue(node, w.add("MatMul", [x, w.signs(weight, hint)], f"{hint}.sum"), (-1,), hint)


def _binarize(w: _Writer, node: onnx.NodeProto, attrs: BinarizeAttrs) -> None:
    threshold = w.value(node, 1)
    column: tuple[int, ...] = (-1,)
    if threshold.size > 1:
        behind = -attrs.axis - 1
        if attrs.axis > 0:
            rank = w.rank(node.input[0])
            behind = rank - 1 - attrs.axis
        column = (-1, *[1] * behind)
    y = w.bits(node.input[0], threshold, column, attrs.low, node.output[0])
    w.add("Identity", [y], node.output[0], output=node.output[0])


def _embedding(w: _Writer, node: onnx.NodeProto, attrs: BinaryEmbeddingAttrs) -> None:
    hint = node.output[0]
    table = w.signs(unpack_bits(w.value(node, 1), attrs.channels), hint)
    rows, scale = w.value(node, 1).shape[0], w.value(node, 2).reshape(-1)
    column = w.constant(np.broadcast_to(scale, rows).reshape(rows, 1).copy(), f"{hint}.scales")
    found = w.add("Gather", [table, node.input[0]], f"{hint}.row", axis=0)
    scales = w.add("Gather", [column, node.input[0]], f"{hint}.scale", axis=0)
    w.add("Mul", [found, scales], hint, output=hint)


def _unpack(w: _Writer, node: onnx.NodeProto, attrs: UnpackWeightAttrs) -> None:
    rows, channels, *kernel = attrs.shape
    bits = unpack_bits(w.value(node, 0), channels).reshape(rows, -1, channels)
    weight = np.moveaxis(bits, 2, 1).reshape(rows, channels, *kernel)
    y = w.signs(weight, node.output[0])
    w.add("Identity", [y], node.output[0], output=node.output[0])


_WRITERS: dict[type[NodeAttrs], Callable[[_Writer, onnx.NodeProto, Any], None]] = {
    BinaryConvAttrs: _conv,
    LevelConvAttrs: _conv,
    BinaryConvTransposeAttrs: _conv_transpose,
    BinaryLinearAttrs: _linear,
    LevelLinearAttrs: _linear,
    BinarizeAttrs: _binarize,
    BinaryEmbeddingAttrs: _embedding,
    UnpackWeightAttrs: _unpack,
}
