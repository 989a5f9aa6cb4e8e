"""An ONNX model that is rewritten node by node, in order: constants, types and producers of everything so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bitwright.compiler.dialect import (
    DOMAIN,
    MAX_OPSET,
    MIN_OPSET,
    VERSION,
    DialectError,
    NodeAttrs,
    TensorTypes,
    add_functions,
)

from ..build import OPSET
from ..errors import ImportModelError
from .constants import evaluate, node_attributes

Array = NDArray[Any]
Shape = tuple[int | str | None, ...]
_IR_VERSION = 10


class ModelGraph:
    """The model: `source` holds the nodes as they came, `emit` appends what they become.

    Raises:
        ImportModelError: a damaged graph, or an operator set that cannot be brought to one that the dialect's bodies
            support.
    """

    def __init__(self, model: onnx.ModelProto, title: str) -> None:
        self.title = title
        model = _at_opset(_inlined(model, title), title)
        self.model = model
        self.source = _in_order(list(model.graph.node), title)
        self.nodes: list[onnx.NodeProto] = []
        self.producer: dict[str, onnx.NodeProto] = {}
        self.on_emit: Callable[[onnx.NodeProto], None] | None = None
        self.replaced: dict[str, list[onnx.NodeProto]] = {}  # output of an emitted node -> nodes that take its place
        self._tensors: dict[str, onnx.TensorProto] = {}
        self._values: dict[str, Array | None] = {}
        self._constant: set[str] = set()  # computed tensors that no model input reaches
        self._target = self.nodes
        self._opsets = list(model.opset_import)
        if all(o.domain != DOMAIN for o in self._opsets):
            self._opsets.append(helper.make_opsetid(DOMAIN, VERSION))
        self._types = TensorTypes(self._opsets, _IR_VERSION)
        for value in (*model.graph.input, *model.graph.output):
            self._types.add(value.name, value.type)
        self._names = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._names |= {v.name for v in (*model.graph.input, *model.graph.output)}
        for tensor in model.graph.initializer:
            self._names.add(tensor.name)
            self._tensors[tensor.name] = tensor
            self._types.add_constant(tensor)

    @property
    def opset(self) -> int:
        """Operator set of the default domain."""
        return int(next(o.version for o in self._opsets if o.domain == ""))

    # --- what is known of a tensor

    def value(self, name: str) -> Array | None:
        """The array of a tensor that no model input reaches; None of others, and where it cannot be computed.

        Arrays must not be written to.
        """
        if not name:
            return None
        if name not in self._values:
            self._values[name] = self._compute(name)
        return self._values[name]

    def _compute(self, name: str) -> Array | None:
        if name in self._tensors:
            try:
                return numpy_helper.to_array(self._tensors[name])
            except Exception as error:  # onnx raises what it likes on a damaged tensor
                raise ImportModelError(f"{self.title}: initializer {name!r} is damaged: {error}") from error
        # Iterative: a hostile file may nest constants deeper than Python's stack.
        stack = [name]
        while stack:
            top = stack[-1]
            node = self.producer.get(top)
            if top in self._values or node is None:
                self._values.setdefault(top, None)
                stack.pop()
                continue
            missing = [i for i in node.input if i and i not in self._values and i not in self._tensors]
            if missing:
                stack.extend(missing)
                continue
            given = [self.value(i) if i else None for i in node.input]
            known = all(v is not None or not i for v, i in zip(given, node.input, strict=True))
            results = evaluate(node, given, self.opset) if known else None
            for i, output in enumerate(node.output):
                if output:
                    self._values[output] = None if results is None else results[i]
            stack.pop()
        return self._values[name]

    def is_constant(self, name: str) -> bool:
        """Whether no model input reaches a tensor; `value` may still be unable to compute it."""
        return name in self._tensors or name in self._constant

    def shape(self, name: str) -> Shape | None:
        """Sizes, a name or None for an unknown one; None when not even the rank is known."""
        return self._types.shape(name)

    def is_float(self, name: str) -> bool:
        """Whether a tensor is known to be float32."""
        kind = self._types.get(name)
        return kind is not None and kind.tensor_type.elem_type == onnx.TensorProto.FLOAT

    # --- writing

    def fresh(self, hint: str) -> str:
        """A tensor name that nothing has yet."""
        name, number = hint, 1
        while name in self._names:
            number += 1
            name = f"{hint}_{number}"
        self._names.add(name)
        return name

    def constant(self, value: Any, hint: str) -> str:
        """A new initializer."""
        array = np.asarray(value)
        name = self.fresh(hint)
        tensor = numpy_helper.from_array(np.array(array, order="C", copy=True), name)
        self._tensors[name] = tensor
        self._values[name] = array
        self._types.add_constant(tensor)
        return name

    def emit(self, node: onnx.NodeProto) -> None:
        """Appends a node and infers the types of its outputs."""
        self._target.append(node)
        fixed = all(self.is_constant(name) for name in inputs_of(node)) and not node.op_type.startswith("Random")
        for output in node.output:
            if output:
                self.producer[output] = node
                self._names.add(output)
                if fixed:
                    self._constant.add(output)
        try:
            self._types.add_node(node)
        except (DialectError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError) as error:
            raise ImportModelError(f"{self.title}: node {node_title(node)}: {error}") from error
        if self.on_emit is not None:
            self.on_emit(node)

    def add(
        self, op: str, inputs: Sequence[str], *, output: str = "", hint: str = "", name: str = "", **attributes: Any
    ) -> str:
        """Emits a standard node with one output, whose name is returned."""
        output = output or self.fresh(hint or op.lower())
        self.emit(helper.make_node(op, list(inputs), [output], name=name or output, **attributes))
        return output

    def add_dialect(
        self, attrs: NodeAttrs, inputs: Sequence[str], *, output: str = "", hint: str = "", name: str = ""
    ) -> str:
        """Emits a node of `ai.bitwright`."""
        output = output or self.fresh(hint or attrs.op.lower())
        self.emit(attrs.make_node(list(inputs), [output], name=name or output))
        return output

    @contextmanager
    def instead_of(self, tensor: str) -> Iterator[None]:
        """What is emitted inside takes the place of the node that makes `tensor`, which must be emitted already."""
        self.replaced[tensor] = self._target = []
        producer, kind = self.producer[tensor], self._types.get(tensor)
        try:
            yield
        finally:
            self._target = self.nodes
            self.producer[tensor] = producer
            if kind is not None:
                self._types.add(tensor, kind)

    def finish(self) -> onnx.ModelProto:
        """The model of the emitted nodes that some output needs, with function bodies and types.

        Raises:
            ImportModelError: it is not valid ONNX.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        graph = model.graph
        del graph.node[:], graph.value_info[:], graph.initializer[:], graph.quantization_annotation[:]
        nodes = [n for node in self.nodes for n in self._replacement(node)]
        kept = needed(nodes, [o.name for o in graph.output])
        used = {name for node in kept for name in inputs_of(node)} | {o.name for o in graph.output}
        graph.node.extend(kept)
        graph.initializer.extend(t for name, t in self._tensors.items() if name in used)
        listed = [i for i in graph.input if i.name not in self._tensors]
        del graph.input[:]
        graph.input.extend(listed)
        model.ir_version = max(min(model.ir_version, _IR_VERSION), 8)
        domains = {node.domain for node in kept}
        opsets = [o for o in self._opsets if o.domain == "" or o.domain in domains]
        del model.opset_import[:]
        model.opset_import.extend(opsets)
        outputs = {o.name for o in graph.output}
        for node in kept:
            for name in node.output:
                kind = self._types.get(name)
                if name and name not in outputs and kind is not None:
                    graph.value_info.add(name=name, type=kind)
        for value in graph.output:
            kind = self._types.get(value.name)
            if kind is not None and not value.type.tensor_type.HasField("shape"):
                value.type.CopyFrom(kind)
        try:
            add_functions(model)
            # The checker refuses an output of unknown rank, which runtimes accept.
            if all(o.type.tensor_type.HasField("shape") for o in graph.output):
                onnx.checker.check_model(model)
        except (DialectError, onnx.checker.ValidationError, ValueError) as error:
            raise ImportModelError(f"{self.title}: the imported graph is not valid: {error}") from error
        return model

    def _replacement(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        return self.replaced.get(node.output[0], [node]) if node.output else [node]


def node_title(node: onnx.NodeProto) -> str:
    """How messages name a node: its name, or its first output."""
    return f"{node.op_type} {node.name or next((o for o in node.output if o), '')!r}"


def node_name(node: onnx.NodeProto) -> str:
    """A node's name, or its first output."""
    return node.name or next((o for o in node.output if o), "")


def inputs_of(node: onnx.NodeProto) -> Iterator[str]:
    """Every tensor that a node reads, also from inside its subgraphs."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from inputs_of(inner)
            yield from (o.name for o in graph.output)


def needed(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that some output depends on, in their order."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(inputs_of(node))
    return kept[::-1]


def _inlined(model: onnx.ModelProto, title: str) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if copy.functions:
        from onnx import inliner

        try:
            copy = inliner.inline_local_functions(copy)
        except Exception as error:  # the C++ inliner has no error class of its own
            raise ImportModelError(f"{title}: its functions cannot be inlined: {error}") from error
    for node in copy.graph.node:
        if node.domain == "ai.onnx":
            node.domain = ""
    for opset in copy.opset_import:
        if opset.domain == "ai.onnx":
            opset.domain = ""
    if copy.graph.sparse_initializer:
        raise ImportModelError(f"{title} has sparse initializers; make them dense")
    return copy


def _at_opset(model: onnx.ModelProto, title: str) -> onnx.ModelProto:
    """The model at an operator set that the dialect's bodies support."""
    version = next((o.version for o in model.opset_import if o.domain == ""), None)
    if version is None:
        raise ImportModelError(f"{title} does not say which operator set of the default domain it uses")
    if MIN_OPSET <= version <= MAX_OPSET:
        return model
    if version > MAX_OPSET:
        raise ImportModelError(
            f"{title} uses operator set {version}; supported are up to {MAX_OPSET}. Export it with an older one"
        )
    known = {o.domain for o in model.opset_import}
    for domain in sorted({node.domain for node in model.graph.node} - known):
        model.opset_import.append(helper.make_opsetid(domain, 1))  # the converter wants every domain listed
    from onnx import version_converter

    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:  # the C++ converter has no error class of its own
        raise ImportModelError(
            f"{title} uses operator set {version}, which cannot be converted to {OPSET}: {error}. "
            f"Export it with operator set {MIN_OPSET} or later"
        ) from error


def _in_order(nodes: list[onnx.NodeProto], title: str) -> list[onnx.NodeProto]:
    """Checks that every tensor is made once."""
    made: set[str] = set()
    for node in nodes:
        for name in node.output:
            if name and name in made:
                raise ImportModelError(f"{title}: two nodes make the tensor {name!r}")
            made.add(name)
    return nodes


__all__ = ["ModelGraph", "inputs_of", "needed", "node_attributes", "node_name", "node_title"]
