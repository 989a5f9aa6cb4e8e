"""Cuts the groups of nodes out of a model: a `Graph` for the compiler, or an ONNX model for onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..dialect import DialectError, add_functions
from ..errors import CompileError
from ..fold import Known
from ..graph import DIALECT, Graph, GraphInput, Node
from ..program import Program
from .classify import FOLDED, NATIVE, ORT, Classes
from .cluster import Group
from .types import as_input

# A constant that was computed is stored only if it is small; otherwise its nodes run in onnxruntime too.
_SMALL = 4096


@dataclass
class Part:
    """Nodes that run together, and what they exchange with the others."""

    place: str
    nodes: tuple[int, ...]
    inputs: list[str]
    outputs: list[str]
    graph: Graph | None = None  # of a native part
    program: Program | None = None  # the same, lowered
    model: onnx.ModelProto | None = None  # of a part for onnxruntime
    copies: dict[int, onnx.NodeProto] = field(default_factory=dict)  # shape arithmetic that it repeats
    constants: set[str] = field(default_factory=set)  # tensors known at compile time that it reads


class Cutter:
    """Knows who makes and who reads each tensor."""

    def __init__(self, graph: Graph, classes: Classes) -> None:
        self.graph, self.classes = graph, classes
        self.maker = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs if name}

    def needs(self, place: list[str]) -> list[set[int]]:
        """Of each node, the nodes of parts whose results it needs, also through shape arithmetic."""
        found: list[set[int]] = []
        for node in self.graph.nodes:
            wanted: set[int] = set()
            for name in node.reads:
                i = self.maker.get(name)
                if i is None or self._is_fixed(name):
                    continue
                wanted |= found[i] if place[i] == FOLDED else {i}
            found.append(wanted)
        return found

    def shared(self) -> list[set[str]]:
        """Of each node, the activations that it reads or writes."""
        return [{n for n in (*node.reads, *node.outputs) if n in self.classes.batch} for node in self.graph.nodes]

    def parts(self, groups: list[Group]) -> list[Part]:
        """The parts with their inputs and outputs, not yet with their contents."""
        parts = [self._reads(g) for g in groups]
        wanted = {name for part in parts for name in part.inputs} | set(self.graph.outputs)
        for part in parts:
            made = [n for i in part.nodes for n in self.graph.nodes[i].outputs if n]
            part.outputs = [n for n in made if n in wanted]
        loose = [n for n in dict.fromkeys(self.graph.outputs) if n in self.graph.constants]
        if loose:
            last = next((part for part in reversed(parts) if part.place == ORT), None)
            if last is None:
                last = Part(ORT, (), [], [])
                parts.append(last)
            last.outputs += loose
            last.constants |= set(loose)
        return [part for part in parts if part.outputs]

    def _is_fixed(self, name: str) -> bool:
        item = self.classes.known.get(name)
        return item is not None and item.fixed

    def _reads(self, group: Group) -> Part:
        own = {n for i in group.nodes for n in self.graph.nodes[i].outputs}
        part = Part(group.place, group.nodes, [], [])
        inputs: dict[str, None] = {}
        known: dict[str, None] = {}
        for i in group.nodes:
            for name in self.graph.nodes[i].reads:
                if name in own:
                    continue
                (known if name in self.classes.known else inputs)[name] = None
        part.inputs = list(inputs)
        if group.place == NATIVE:
            part.constants = set(known)
        else:
            for name in known:
                self._repeat(part, name, own)
        return part

    def _repeat(self, part: Part, name: str, own: set[str]) -> None:
        """Gives an onnxruntime part a tensor that is known at compile time: as a constant, or by the nodes that compute
        it."""
        item = self.classes.known[name]
        small = item.fixed and np.asarray(item.values[0]).nbytes <= _SMALL
        if name in self.graph.constants or small:
            part.constants.add(name)
            return
        i = self.maker[name]
        if i in part.copies:
            return
        node = self.graph.nodes[i]
        assert node.proto is not None
        part.copies[i] = node.proto
        for source in node.reads:
            if source in self.classes.known:
                self._repeat(part, source, own)
            elif source not in own and source not in part.inputs:
                anchor = self._anchor(part, source)
                if anchor and not node.domain and node.op == "Shape":
                    part.copies[i] = self._shape_from(node, anchor)
                else:
                    part.inputs.append(source)

    def _anchor(self, part: Part, source: str) -> str:
        """An input of the part with the batch size of `source`, "" if there is none."""
        label = self.classes.batch.get(source)
        return next((n for n in part.inputs if label is not None and self.classes.batch.get(n) == label), "")

    def _shape_from(self, node: Node, anchor: str) -> onnx.NodeProto:
        """The Shape of a tensor that is elsewhere, of which only the batch size is not known: taken from `anchor`."""
        a, b = (np.asarray(v) for v in self.classes.known[node.outputs[0]].values)
        step = np.asarray(np.where(a == b, 0, 1), dtype=np.int64)  # 1 where the batch is
        rest = np.asarray(np.where(a == b, a, 0), dtype=np.int64)
        return helper.make_node(
            "Shape", [anchor], list(node.outputs), name=node.name, batch_at=step.tolist(), others=rest.tolist()
        )

    # --- contents

    def fill(self, part: Part) -> None:
        """Makes the part's graph or model."""
        if part.place == NATIVE:
            part.graph = self._graph(part)
        else:
            part.model = self._model(part)

    def _graph(self, part: Part) -> Graph:
        inputs = []
        for name in part.inputs:
            given = as_input(name, self.classes.types[name])
            assert given is not None
            shape = given.shape[0]
            inputs.append(GraphInput(name, given.dtype, [shape, *given.shape[1:]]))
        known = self.classes.known
        return replace(
            self.graph,
            nodes=[self.graph.nodes[i] for i in part.nodes],
            constants={n: np.asarray(known[n].values[0]) for n in part.constants if known[n].fixed},
            inputs=inputs,
            outputs=list(part.outputs),
            metadata={},
            varying={n: known[n] for n in part.constants if not known[n].fixed},
            proto=None,
        )

    def _model(self, part: Part) -> onnx.ModelProto:
        source = self.graph.proto
        assert source is not None
        model = onnx.ModelProto(ir_version=source.ir_version, producer_name="bitwright")
        model.opset_import.extend(source.opset_import)
        g = model.graph
        g.name = source.graph.name or "part"
        stored = {t.name: t for t in source.graph.initializer}
        for name in sorted(part.constants):
            g.initializer.append(stored[name] if name in stored else _tensor(name, self.classes.known[name]))
        for name in part.inputs:
            info = onnx.ValueInfoProto(name=name)
            if name in self.classes.types:
                info.type.CopyFrom(self.classes.types[name])
            g.input.append(info)
        nodes = {i: self.graph.nodes[i].proto for i in part.nodes} | part.copies
        for i in sorted(nodes):
            node = nodes[i]
            assert node is not None
            g.node.extend(_expanded(node, g))
        g.output.extend(onnx.ValueInfoProto(name=name) for name in part.outputs)
        self._bodies(model, source)
        return model

    def _bodies(self, model: onnx.ModelProto, source: onnx.ModelProto) -> None:
        """Stock onnxruntime needs the function bodies of the dialect's nodes."""
        used = {n.op_type for n in model.graph.node if n.domain == DIALECT}
        model.functions.extend(f for f in source.functions if f.domain == DIALECT and f.name in used)
        if used - {f.name for f in model.functions}:
            try:
                add_functions(model)
            except DialectError as error:
                raise CompileError(f"{sorted(used)} must run in onnxruntime here, but cannot: {error}") from error


def _tensor(name: str, item: Known) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(item.values[0]), name)


def _expanded(node: onnx.NodeProto, g: onnx.GraphProto) -> list[onnx.NodeProto]:
    """A Shape of a tensor that is elsewhere, in standard operators: Shape(anchor)[0] * batch_at + others."""
    facts = {a.name: list(a.ints) for a in node.attribute if a.name in ("batch_at", "others")}
    if len(facts) != 2:
        return [node]
    out = node.output[0]
    names = {key: f"{out}/{key}" for key in ("zero", "batch_at", "others", "shape", "batch", "part")}
    for key, data in (("zero", [0]), *facts.items()):
        g.initializer.append(numpy_helper.from_array(np.array(data, dtype=np.int64), names[key]))
    return [
        helper.make_node("Shape", [node.input[0]], [names["shape"]]),
        helper.make_node("Gather", [names["shape"], names["zero"]], [names["batch"]]),
        helper.make_node("Mul", [names["batch"], names["batch_at"]], [names["part"]]),
        helper.make_node("Add", [names["part"], names["others"]], [out]),
    ]


__all__ = ["Cutter", "Part"]
