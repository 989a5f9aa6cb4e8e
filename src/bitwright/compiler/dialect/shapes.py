"""Shapes of every tensor of a graph with dialect nodes.

ONNX's own inference goes through the function bodies, where a Reshape hides the shape; here a dialect node's output
follows from its attributes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bitwright.compiler.dialect.attributes import (
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
    UnpackWeightAttrs,
    read_node,
)

if TYPE_CHECKING:
    import onnx

Size = int | str | None
Shape = tuple[Size, ...]
_CONVOLUTIONS = (BinaryConvAttrs, BinaryConvTransposeAttrs, LevelConvAttrs)
_DATA_LIMIT = 4096
"""Elements of a constant that its value may tell about a shape; larger ones are weights."""


def output_shape(attrs: NodeAttrs, shapes: Sequence[Shape]) -> Shape:
    """The shape of a node's output, from those of its inputs (unknown sizes: a name or None).

    Raises:
        DialectError: the inputs do not fit the attributes.
    """
    x = shapes[0]
    if isinstance(attrs, UnpackWeightAttrs):
        return attrs.shape
    if isinstance(attrs, BinarizeAttrs):
        return x
    weight = shapes[1]
    if isinstance(attrs, BinaryEmbeddingAttrs):
        return (*x, attrs.channels)
    if isinstance(attrs, BinaryLinearAttrs | LevelLinearAttrs):
        _check(attrs, "features", x[-1] if x else None, attrs.channels)
        return (*x[:-1], weight[0])
    if isinstance(attrs, _CONVOLUTIONS):
        if len(x) != attrs.rank + 2:
            raise DialectError(f"{attrs.op} with kernel {attrs.kernel_shape} takes [N, C, *S], its input is {list(x)}")
        _check(attrs, "channels", x[1], attrs.channels * attrs.group)
        sizes = x[2:]
        if any(not isinstance(size, int) for size in sizes):
            return (x[0], weight[0], *(None for _ in sizes))
        return (x[0], weight[0], *attrs.output_size([int(size) for size in sizes if size is not None]))
    raise DialectError(f"{attrs.op} has no shape rule")


def _check(attrs: NodeAttrs, what: str, found: Size, wanted: int) -> None:
    if isinstance(found, int) and found != wanted:
        raise DialectError(f"{attrs.op} takes {wanted} {what}, its input has {found}")


class TensorTypes:
    """Types and shapes of a graph's tensors, found node by node in the order of the graph."""

    def __init__(self, opsets: Sequence[onnx.OperatorSetIdProto], ir_version: int) -> None:
        self._opsets = list(opsets)
        self._ir_version = ir_version
        self._version = next((o.version for o in opsets if o.domain in ("", "ai.onnx")), 1)
        self._types: dict[str, onnx.TypeProto] = {}
        self._data: dict[str, onnx.TensorProto] = {}

    def get(self, name: str) -> onnx.TypeProto | None:
        """The type of a tensor, None while it is not known."""
        return self._types.get(name)

    def shape(self, name: str) -> Shape | None:
        """The shape of a tensor, None while it is not known; sizes that are not fixed are names or None."""
        kind = self._types.get(name)
        return _shape(kind) if kind is not None and kind.tensor_type.HasField("shape") else None

    def add(self, name: str, kind: onnx.TypeProto) -> None:
        """Declares a tensor: an input, or what somebody else has found."""
        self._types[name] = kind

    def add_constant(self, tensor: onnx.TensorProto) -> None:
        """Declares an initializer; a small one's value may tell a shape."""
        import onnx

        self._types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        if math.prod(tensor.dims) <= _DATA_LIMIT:
            self._data[tensor.name] = tensor

    def add_node(self, node: onnx.NodeProto) -> None:
        """Finds the types of a node's outputs; what cannot be known stays unknown.

        Raises:
            DialectError: a dialect node does not fit its input.
            onnx.shape_inference.InferenceError: a standard node does not.
        """
        import onnx

        if node.domain == DOMAIN:
            self._types.update(_dialect_types(node, self._types))
        elif onnx.defs.has(node.op_type, node.domain):
            found = _standard_types(onnx, node, self._types, self._data, self._opsets, self._ir_version, self._version)
            self._types.update(found)


def infer_shapes(model: onnx.ModelProto) -> None:
    """Writes the type and shape of every tensor into `value_info` and the outputs, as far as they are known. In place.

    Raises:
        DialectError: a dialect node does not fit its input.
        onnx.shape_inference.InferenceError: a standard node does not.
    """
    graph = model.graph
    types = TensorTypes(model.opset_import, model.ir_version)
    for value in (*graph.input, *graph.value_info):
        types.add(value.name, value.type)
    for tensor in graph.initializer:
        types.add_constant(tensor)
    for node in graph.node:
        types.add_node(node)
    del graph.value_info[:]
    outputs = {value.name: value for value in graph.output}
    for node in graph.node:
        for name in node.output:
            kind = types.get(name)
            if kind is None:
                continue
            if name in outputs:
                outputs[name].type.CopyFrom(kind)
            else:
                graph.value_info.add(name=name, type=kind)


def _dialect_types(node: onnx.NodeProto, types: dict[str, onnx.TypeProto]) -> dict[str, onnx.TypeProto]:
    import onnx

    if not all(name in types and types[name].tensor_type.HasField("shape") for name in node.input):
        return {}
    try:
        shape = output_shape(read_node(node), [_shape(types[name]) for name in node.input])
    except DialectError as error:
        raise DialectError(f"{node.op_type} node {node.name!r}: {error}") from None
    return {node.output[0]: onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, shape)}


def _standard_types(
    onnx: Any,
    node: onnx.NodeProto,
    types: dict[str, onnx.TypeProto],
    data: dict[str, onnx.TensorProto],
    opsets: list[onnx.OperatorSetIdProto],
    ir_version: int,
    version: int,
) -> dict[str, onnx.TypeProto]:
    own = next((o.version for o in opsets if o.domain == node.domain), version)
    schema = onnx.defs.get_schema(node.op_type, own, node.domain)
    given = {name: types[name] for name in node.input if name in types}
    if len(given) != len({name for name in node.input if name}):
        return {}
    values = {name: data[name] for name in node.input if name in data}
    try:
        found = onnx.shape_inference.infer_node_outputs(schema, node, given, values, None, opsets, ir_version)
    except onnx.checker.ValidationError as error:
        raise onnx.shape_inference.InferenceError(f"{node.op_type} node {node.name!r}: {error}") from error
    if node.op_type == "Constant" and node.output[0] in found:
        for attribute in node.attribute:
            if attribute.name == "value":
                data[node.output[0]] = attribute.t
    return dict(found)


def _shape(kind: onnx.TypeProto) -> Shape:
    return tuple(d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in kind.tensor_type.shape.dim)
