"""Types and shapes of every tensor of a model, as far as ONNX shape inference and the lowering know them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import TypeAlias

import onnx
from onnx import helper, numpy_helper

from ..dialect import DialectError, add_functions
from ..graph import DIALECT, Graph, GraphInput

Dim: TypeAlias = "int | str | None"
Types: TypeAlias = dict[str, onnx.TypeProto]
BATCH = "N"  # the name that a batch axis without one gets
# Larger constants are no shape arithmetic: inference sees only their types.
_SMALL = 4096
_INVENTED = re.compile(r"unk__\d+|\?|")  # names that converters and the inference give to unknown sizes


def tensor_type(dtype: int, shape: tuple[Dim, ...]) -> onnx.TypeProto:
    """The type of a dense tensor."""
    return helper.make_tensor_type_proto(dtype, list(shape))


def dtype_of(found: onnx.TypeProto | None) -> str:
    """Name of the element type (FLOAT, INT64, ...); "" for sequences, maps and unknown types."""
    if found is None or not found.HasField("tensor_type") or not found.tensor_type.elem_type:
        return ""
    return str(onnx.TensorProto.DataType.Name(found.tensor_type.elem_type))


def shape_of(found: onnx.TypeProto | None) -> tuple[Dim, ...] | None:
    """Sizes: numbers, names, or None where unknown; None as a whole if not even the rank is known."""
    if found is None or not found.HasField("tensor_type") or not found.tensor_type.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in found.tensor_type.shape.dim)


def input_types(graph: Graph) -> Types:
    """The model's inputs as they are declared; a first axis without a name of its own is the batch."""
    found: Types = {}
    for given in graph.inputs:
        shape: list[Dim] = list(given.shape)
        if shape and (shape[0] is None or (isinstance(shape[0], str) and _INVENTED.fullmatch(shape[0]))):
            shape[0] = BATCH
        for i in range(1, len(shape)):
            shape[i] = shape[i] if shape[i] is not None else f"{given.name}.{i}"
        found[given.name] = tensor_type(onnx.TensorProto.DataType.Value(given.dtype), tuple(shape))
    return found


def as_input(name: str, found: onnx.TypeProto) -> GraphInput | None:
    """A tensor as an input of a part; None if it is no tensor of known rank."""
    shape = shape_of(found)
    return None if shape is None else GraphInput(name, dtype_of(found), list(shape))


def infer(graph: Graph, inputs: Types, known: Mapping[str, onnx.TypeProto]) -> Types:
    """Types of the graph's tensors. `known`: what is known already and helps to infer others."""
    assert graph.proto is not None
    proto = graph.proto
    skeleton = onnx.ModelProto(ir_version=proto.ir_version)
    skeleton.opset_import.extend(proto.opset_import)
    skeleton.functions.extend(proto.functions)
    g = skeleton.graph
    g.name = proto.graph.name or "model"
    for name, found in inputs.items():
        g.input.append(onnx.ValueInfoProto(name=name, type=found))
    for name, data in graph.constants.items():
        tensor_dtype = helper.np_dtype_to_tensor_dtype(data.dtype) if data.dtype != object else onnx.TensorProto.STRING
        if data.nbytes <= _SMALL and data.dtype != object:
            g.initializer.append(numpy_helper.from_array(data, name))
        else:
            g.input.append(onnx.ValueInfoProto(name=name, type=tensor_type(tensor_dtype, data.shape)))
    g.node.extend(n.proto for n in graph.nodes if n.proto is not None)
    g.output.extend(onnx.ValueInfoProto(name=name) for name in graph.outputs)
    for name, found in known.items():
        if name not in inputs:
            g.value_info.append(onnx.ValueInfoProto(name=name, type=found))
    if not proto.functions and any(n.domain == DIALECT for n in graph.nodes):
        with contextlib.suppress(DialectError):  # without bodies their shapes come from the lowering alone
            add_functions(skeleton)
    result = onnx.shape_inference.infer_shapes(skeleton, check_type=False, strict_mode=False, data_prop=True)
    types: Types = dict(known)
    for info in (*result.graph.value_info, *result.graph.output, *result.graph.input):
        if info.name not in types and info.HasField("type"):
            types[info.name] = _named(info.type)
    return types


def _named(found: onnx.TypeProto) -> onnx.TypeProto:
    """The type without invented names of sizes: two of them may be the same number or not."""
    if found.HasField("tensor_type") and found.tensor_type.HasField("shape"):
        for d in found.tensor_type.shape.dim:
            if d.HasField("dim_param") and _INVENTED.fullmatch(d.dim_param):
                d.ClearField("dim_param")
    return found


__all__ = ["BATCH", "Dim", "Types", "as_input", "dtype_of", "infer", "input_types", "shape_of", "tensor_type"]
