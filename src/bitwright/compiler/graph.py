"""Loads an ONNX model into the light graph that the lowering walks: nodes with decoded attributes, constants,
inputs, outputs."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .errors import CompileError

if TYPE_CHECKING:
    import onnx_ir

    from .fold import Known

DIALECT = "ai.bitwright"
MODULE_KEY = "bitwright.module"
ModelSource: TypeAlias = "str | os.PathLike[str] | onnx.ModelProto | onnx_ir.Model"

_ELEMENT_NAMES = {v: k for k, v in onnx.TensorProto.DataType.items()}


@dataclass
class Node:
    """One operator of the graph."""

    op: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any]
    name: str
    module: str = ""
    proto: onnx.NodeProto | None = None
    captures: list[str] = field(default_factory=list)  # tensors of this graph that the node's subgraphs read

    @property
    def reads(self) -> list[str]:
        """All tensors that the node needs: its inputs and what its subgraphs read."""
        return [name for name in self.inputs if name] + self.captures

    @property
    def title(self) -> str:
        """The operator with its domain, as errors print it."""
        return f"{self.domain}::{self.op}" if self.domain else self.op

    def input(self, i: int) -> str:
        """Name of input i, or "" if the node does not give it."""
        return self.inputs[i] if i < len(self.inputs) else ""


@dataclass
class GraphInput:
    """A model input."""

    name: str
    dtype: str  # ONNX element type name, e.g. FLOAT
    shape: list[int | str | None]


@dataclass
class Graph:
    """The parts of an ONNX model that the compiler needs."""

    nodes: list[Node]
    constants: dict[str, np.ndarray[Any, Any]]
    inputs: list[GraphInput]
    outputs: list[str]
    opset: int
    source: str
    sha256: str
    opsets: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)  # of the model: how its input is prepared, class names, ...
    varying: dict[str, Known] = field(default_factory=dict)  # shape arithmetic that depends on the batch, given
    proto: onnx.ModelProto | None = None  # what it was read from, foreign functions inlined


def load_proto(source: ModelSource) -> tuple[onnx.ModelProto, str]:
    """The model as a ModelProto, and a description of where it came from.

    Raises `CompileError` for a file that is no ONNX model, TypeError for another kind of source.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"no such ONNX file: {path}")
        try:
            return onnx.load(os.fspath(path)), path.name
        except Exception as error:  # protobuf's DecodeError and onnx's own errors share no base class
            raise CompileError(f"{path} is not a readable ONNX model: {error}") from error
    if isinstance(source, onnx.ModelProto):
        return source, source.graph.name or "model"
    try:
        import onnx_ir
    except ImportError:
        onnx_ir = None  # type: ignore[assignment]
    if onnx_ir is not None and isinstance(source, onnx_ir.Model):
        return onnx_ir.to_proto(source), source.graph.name or "model"
    raise TypeError(f"source must be a path, an onnx.ModelProto or an onnx_ir.Model, not {type(source).__name__}")


def _attribute(a: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(a)
    if a.type == onnx.AttributeProto.TENSOR:
        return numpy_helper.to_array(value)
    if a.type == onnx.AttributeProto.STRING:
        return value.decode("utf-8")
    if a.type == onnx.AttributeProto.STRINGS:
        return [v.decode("utf-8") for v in value]
    if a.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return list(value)
    return value


def module_of(metadata: Mapping[str, str]) -> str:
    """Path of the PyTorch module that a node came from; "" if its metadata does not say."""
    if metadata.get(MODULE_KEY):
        return metadata[MODULE_KEY]
    try:
        scopes = ast.literal_eval(metadata.get("pkg.torch.onnx.name_scopes", "[]"))
    except (ValueError, SyntaxError):
        return ""
    if isinstance(scopes, list) and len(scopes) >= 2 and isinstance(scopes[-2], str):
        return scopes[-2]
    return ""


def _constant_of(node: Node) -> np.ndarray[Any, Any] | None:
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32)):
        if key in node.attrs:
            return np.asarray(node.attrs[key], dtype=dtype)
    for key in ("value_int", "value_ints"):
        if key in node.attrs:
            return np.asarray(node.attrs[key], dtype=np.int64)
    value = node.attrs.get("value")
    return value if isinstance(value, np.ndarray) else None


def inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Inlines model-local functions of other domains; ours are recognised, so their bodies are left alone."""
    ours = [(f.domain, f.name) for f in proto.functions if f.domain == DIALECT]
    if len(ours) == len(proto.functions):
        return proto
    from onnx import inliner

    return inliner.inline_selected_functions(proto, ours, exclude=True)


def _needed(nodes: list[Node], outputs: list[str]) -> list[Node]:
    """The nodes that some output depends on, in their order."""
    wanted = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.reads)
    return kept[::-1]


def captures(node: onnx.NodeProto) -> list[str]:
    """Names of outer tensors that the subgraphs of a node (If, Loop, Scan, ...) read."""
    found: dict[str, None] = {}
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            own = {i.name for i in graph.input} | {t.name for t in graph.initializer}
            for inner in graph.node:
                found.update(dict.fromkeys(n for n in (*inner.input, *captures(inner)) if n and n not in own))
                own.update(inner.output)
            found.update(dict.fromkeys(o.name for o in graph.output if o.name not in own))
    return list(found)


def load_graph(source: ModelSource) -> Graph:
    """Reads a model.

    Raises `CompileError` when the file is not an ONNX model or uses a feature that hides the graph (sparse
    initializers, no inputs).
    """
    proto, name = load_proto(source)
    # identify the model by what was given: the file's bytes, or the message in its deterministic form
    if isinstance(source, (str, os.PathLike)):
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    else:
        digest = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    proto = inlined(proto)
    g = proto.graph
    if g.sparse_initializer:
        raise CompileError(
            f"the model has sparse initializers ({g.sparse_initializer[0].values.name!r}); make them dense."
        )
    constants = {t.name: numpy_helper.to_array(t) for t in g.initializer}
    nodes: list[Node] = []
    for n in g.node:
        metadata = {p.key: p.value for p in n.metadata_props}
        node = Node(
            n.op_type,
            "" if n.domain == "ai.onnx" else n.domain,
            list(n.input),
            list(n.output),
            {a.name: _attribute(a) for a in n.attribute},
            n.name or next((o for o in n.output if o), ""),
            module_of(metadata),
            n,
            captures(n),
        )
        if node.op == "Constant" and not node.domain:
            constant = _constant_of(node)
            if constant is not None:
                constants[node.outputs[0]] = constant
                continue
        nodes.append(node)
    inputs = [_graph_input(i) for i in g.input if i.name not in constants]
    if not inputs or not g.output:
        raise CompileError("the model has no inputs or no outputs")
    outputs = [o.name for o in g.output]
    opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in proto.opset_import}
    facts = {p.key: p.value for p in proto.metadata_props}
    return Graph(
        _needed(nodes, outputs),
        constants,
        inputs,
        outputs,
        opsets.get("", 1),
        name,
        digest,
        opsets,
        facts,
        proto=proto,
    )


def _graph_input(info: onnx.ValueInfoProto) -> GraphInput:
    if not info.type.HasField("tensor_type"):
        raise CompileError(f"input {info.name!r} is not a tensor")
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        raise CompileError(
            f"input {info.name!r} has no shape; export the model with one (only the batch may be dynamic)"
        )
    shape: list[int | str | None] = []
    for d in tensor.shape.dim:
        shape.append(d.dim_value if d.HasField("dim_value") else (d.dim_param or None))
    return GraphInput(info.name, _ELEMENT_NAMES.get(tensor.elem_type, str(tensor.elem_type)), shape)
