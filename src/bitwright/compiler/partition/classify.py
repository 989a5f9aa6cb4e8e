"""Where each node may run: the real lowering walks the graph, and goes on behind what it cannot lower.

A node that lowers is *native*; one whose results are all known at compile time is *folded*; every other one is left to
onnxruntime, with the reason. What onnxruntime computes enters the engine again as an input where it can: a float
tensor (or integer ids) of known sizes but for its first axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import onnx

from ..errors import CompileError, Unsupported
from ..fold import Known, is_batch
from ..graph import Graph, Node
from ..lower.context import REGISTRY, Context
from ..lower.driver import input_view, lower_node
from ..program import DType
from ..view import View
from .types import Dim, Types, as_input, dtype_of, infer, input_types, shape_of, tensor_type

NATIVE, ORT, FOLDED = "native", "onnxruntime", "folded"
# Inference, walk, inference with what the walk found, ...: three rounds are enough for all but strange graphs.
_ROUNDS = 8


@dataclass
class Classes:
    """The verdict on every node, and what is known about the tensors."""

    place: list[str]  # of each node: NATIVE, ORT or FOLDED
    why: list[str]  # reason of each node that onnxruntime runs; "" for others
    known: dict[str, Known]  # tensors known at compile time, constants included
    types: Types
    batch: dict[str, Dim]  # activations that the engine computes or may take -> size or name of their first axis
    labels: list[Dim] = field(default_factory=list)  # first axis of each native node's tensors


def classify(graph: Graph, inputs: Types | None = None) -> Classes:
    """Decides for every node of a graph. Raises nothing: what cannot be lowered is onnxruntime's."""
    inputs = input_types(graph) if inputs is None else inputs
    types = infer(graph, inputs, inputs)
    for _ in range(_ROUNDS):
        walk = _Walk(graph, types)
        classes = walk.run()
        found = {**inputs, **walk.shapes}
        again = infer(graph, inputs, found)
        if {n: shape_of(t) for n, t in again.items()} == {n: shape_of(t) for n, t in types.items()}:
            break
        types = again
    classes.types.update(walk.shapes)
    return classes


class _Walk:
    def __init__(self, graph: Graph, types: Types) -> None:
        self.graph, self.types = graph, types
        self.ctx = Context(graph)
        self.batch: dict[str, Dim] = {}
        self.foreign: dict[str, str] = {}  # tensor -> why it cannot enter the engine
        self.shapes: Types = {}  # what the lowering knows better than the inference
        for name, data in graph.constants.items():
            self.ctx.env[name] = Known((data, data))
        self.varying: dict[str, Dim] = {}  # shape arithmetic that depends on the batch -> which batch

    def run(self) -> Classes:
        for given in self.graph.inputs:
            self.enter(given.name)
        place: list[str] = []
        why: list[str] = []
        labels: list[Dim] = []
        for node in self.graph.nodes:
            label: Dim = None
            try:
                label = self.label(node)
                self.ctx.batch = label if isinstance(label, int) else None
                lower_node(self.ctx, node)
                self.leave(node, label)
                kind = FOLDED if all(isinstance(self.ctx.env[n], Known) for n in node.outputs if n) else NATIVE
                reason = ""
            except Unsupported as error:
                kind, reason = ORT, f"{error.why} {error.advice}".strip()
                if (node.domain, node.op) not in REGISTRY:
                    reason = "the engine has no such operator."
                for name in node.outputs:
                    if name:
                        self.ctx.env.pop(name, None)
                        self.enter(name)
                        self.guess(node)
            place.append(kind)
            why.append(reason)
            labels.append(label)
        known = {name: item for name, item in self.ctx.env.items() if isinstance(item, Known)}
        return Classes(place, why, known, dict(self.types), self.batch, labels)

    def enter(self, name: str) -> None:
        """A tensor that the engine did not compute becomes an input of it, if it can."""
        found = self.types.get(name)
        label: Dim = None
        if found is None or not dtype_of(found):
            what = "a sequence or map" if found is not None and not found.HasField("tensor_type") else "of unknown type"
            reason = f"its input {name!r} is {what}."
        else:
            given = as_input(name, found)
            if given is None:
                reason = f"the shape of its input {name!r} is not known."
            else:
                try:
                    view = input_view(given, self.graph)
                    label = given.shape[0]
                    reason = "" if label is not None else f"the batch size of its input {name!r} is not known."
                except CompileError as error:
                    reason = f"{error}."
                if not reason:
                    self.ctx.env[name] = view
                    self.batch[name] = label
                    return
        self.foreign[name] = reason

    def label(self, node: Node) -> Dim:
        """Size or name of the first axis that all activations of the node share."""
        found: dict[Dim, str] = {}
        for name in node.reads:
            if name in self.foreign:
                raise Unsupported(self.foreign[name])
            for labels in (self.batch, self.varying):
                if name in labels:
                    found.setdefault(labels[name], name)
        if len(found) > 1:
            (a, x), (b, y), *_ = found.items()
            raise Unsupported(f"its inputs {x!r} and {y!r} have different first axes ({a} and {b}).")
        return next(iter(found), None)

    def leave(self, node: Node, label: Dim) -> None:
        """Notes what the lowering found out about the node's outputs."""
        for name in node.outputs:
            item = self.ctx.env.get(name) if name else None
            if isinstance(item, View):
                if item.value.dtype is DType.F32:
                    self.shapes[name] = tensor_type(onnx.TensorProto.FLOAT, (label, *item.shape))
                elif name in self.types:
                    self.shapes[name] = self.types[name]
                self.batch[name] = label
            elif isinstance(item, list):
                self.batch[name] = label
            elif isinstance(item, Known) and not item.fixed:
                self.varying[name] = label

    def guess(self, node: Node) -> None:
        """The shape of a Reshape in onnxruntime whose target the walk knows, where the inference does not."""
        out = node.outputs[0]
        target = self.ctx.env.get(node.input(1))
        if node.domain or node.op != "Reshape" or not isinstance(target, Known) or out not in self.foreign:
            return
        first, second = ([int(v) for v in row.reshape(-1)] for row in target.values)
        source = shape_of(self.types.get(node.input(0))) or ()
        if dtype_of(self.types.get(node.input(0))) != "FLOAT" or not first or first[1:] != second[1:]:
            return
        label = self.varying.get(node.input(1)) if is_batch((first[0], second[0])) else None
        sizes = [n for n in source[1:] if isinstance(n, int)]
        if first[0] == -1 and len(sizes) == len(source) - 1 and math.prod(sizes) == math.prod(first[1:]):
            label = source[0]  # each sample keeps its elements
        if label is not None and all(n > 0 for n in first[1:]):
            self.types[out] = tensor_type(onnx.TensorProto.FLOAT, (label, *first[1:]))
            del self.foreign[out]
            self.enter(out)


__all__ = ["FOLDED", "NATIVE", "ORT", "Classes", "classify"]
