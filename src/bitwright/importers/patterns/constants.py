"""Computes nodes whose inputs are all constant: weights that a file holds as Sign, Where, Mul, ... of other tensors.

Only operators whose result is not much larger than their inputs, or whose size is checked first: a hostile file must
not make the importer allocate what it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
LIMIT = 1 << 27
"""Elements of the largest tensor that is computed."""
_ELEMENTWISE = {
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Div", "Equal", "Exp", "Floor", "Greater", "GreaterOrEqual",
    "Identity", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu",
    "Round", "Sigmoid", "Sign", "Sqrt", "Sub", "Tanh", "Where", "Xor", "HardSigmoid", "LeakyRelu", "DequantizeLinear",
}  # fmt: skip
_MOVES = {
    "Concat", "Flatten", "Gather", "Reshape", "Shape", "Slice", "Squeeze", "Transpose", "Unsqueeze", "ReduceMean",
    "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "Size",
}  # fmt: skip
_GROWING = {"Expand", "ConstantOfShape"}


def node_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attribute name to value: strings decoded, tensors as arrays."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = numpy_helper.to_array(value)
        elif attribute.type == onnx.AttributeProto.STRING:
            value = value.decode("utf-8", errors="replace")
        found[attribute.name] = value
    return found


def evaluate(node: onnx.NodeProto, inputs: Sequence[Array | None], opset: int) -> list[Array] | None:
    """The outputs of a node of the default domain for constant inputs; None where that is not possible or too large."""
    if node.domain:
        return None
    if node.op_type == "Constant":
        return _constant(node)
    if node.op_type in _GROWING:
        target = inputs[0] if node.op_type == "ConstantOfShape" else inputs[1] if len(inputs) > 1 else None
        if target is None or target.size > 16 or math.prod(max(int(n), 1) for n in target.reshape(-1)) > LIMIT:
            return None
    elif node.op_type in _ELEMENTWISE:
        try:
            shape = np.broadcast_shapes(*(i.shape for i in inputs if i is not None))
        except ValueError:
            if node.op_type != "DequantizeLinear":
                return None
            shape = inputs[0].shape if inputs and inputs[0] is not None else ()
        if math.prod(shape) > LIMIT:
            return None
    elif node.op_type in _MOVES:
        if node.op_type == "Gather" and math.prod(i.size for i in inputs if i is not None) > LIMIT:
            return None
    else:
        return None
    return _reference(node, inputs, opset)


def _constant(node: onnx.NodeProto) -> list[Array] | None:
    attributes = node_attributes(node)
    for key, dtype in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if key in attributes:
            return [np.asarray(attributes[key], dtype=dtype)]
    value = attributes.get("value")
    return [value] if isinstance(value, np.ndarray) else None


def _reference(node: onnx.NodeProto, inputs: Sequence[Array | None], opset: int) -> list[Array] | None:
    from onnx.reference import ReferenceEvaluator

    given = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
    graph = helper.make_graph(
        [node],
        "constant",
        [helper.make_value_info(name, onnx.TypeProto()) for name in given],
        [helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name],
    )
    try:
        with np.errstate(all="ignore"):
            evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]))
            results = iter(evaluator.run(None, given))
            return [np.asarray(next(results)) if name else np.empty(0) for name in node.output]
    except Exception:  # the reference implementation raises what it likes; such a node stays as it is
        return None
