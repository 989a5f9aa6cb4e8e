"""Decides where every node runs, until all native parts compile: classify, group, cut, try, push out, again.

A native part stays native if it has binary weights, or enough float arithmetic to be worth two copies: `WORTH`
multiply-accumulates for each number that crosses its boundary. A lone Relu between two onnxruntime parts does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..costs import macs, weight_bits
from ..errors import CompileError, UnsupportedModelError
from ..graph import Graph
from ..lower import lower
from ..program import BConv, Embed, Program
from .classify import FOLDED, NATIVE, ORT, Classes, classify
from .cluster import group
from .cut import Cutter, Part

WORTH = 32
# A flattened map would leave the engine through a dense permutation: onnxruntime flattens it instead.
PERMUTED = 0


@dataclass
class Partition:
    """A model cut into parts that run in order."""

    graph: Graph
    classes: Classes
    parts: list[Part]
    place: list[str]  # of each node of the graph
    why: list[str]  # why onnxruntime runs it, "" for others


def partition(graph: Graph) -> Partition:
    """Cuts a graph. Raises `CompileError` if a part for onnxruntime cannot be written."""
    return _Planner(graph).plan()


class _Planner:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.classes = classify(graph)
        self.cutter = Cutter(graph, self.classes)
        self.place, self.why = list(self.classes.place), list(self.classes.why)
        self.tried: dict[tuple[object, ...], Part] = {}

    def plan(self) -> Partition:
        for name in self.graph.outputs:
            i = self.cutter.maker.get(name)
            if i is not None and self.place[i] == FOLDED:
                self._move([i], "the model returns its result, which does not depend on activations.")
        while True:
            groups = group(self.place, self.cutter.needs(self.place), self.cutter.shared())
            parts = self.cutter.parts(groups)
            if not (self._refused(parts) or self._islands(parts)):
                break
        for part in parts:
            if part.place == ORT:
                self.cutter.fill(part)
        return Partition(self.graph, self.classes, parts, self.place, self.why)

    def _move(self, nodes: list[int], why: str) -> None:
        for i in nodes:
            self.place[i], self.why[i] = ORT, why

    def _refused(self, parts: list[Part]) -> bool:
        """Moves the nodes that cannot be compiled as the first or last ones of a part."""
        moved = False
        for part in parts:
            if part.place != NATIVE:
                continue
            key = (part.nodes, tuple(part.inputs), tuple(part.outputs))
            if key in self.tried:
                part.graph, part.program = self.tried[key].graph, self.tried[key].program
                continue
            self.cutter.fill(part)
            assert part.graph is not None
            try:
                part.program = lower(part.graph, permuted=PERMUTED)
                self.tried[key] = part
            except UnsupportedModelError as error:
                moved = True
                for problem in error.problems:
                    self._move(self._culprits(part, problem.node), f"{problem.why} {problem.advice}".strip())
            except CompileError as error:
                moved = True
                self._move(list(part.nodes), f"{error}.")
        return moved

    def _culprits(self, part: Part, name: str) -> list[int]:
        """The nodes of a part with this name, or that compute this output; all nodes if there is none."""
        maker = self.cutter.maker.get(name)
        if maker in part.nodes and name in part.outputs:
            return [maker]
        return [i for i in part.nodes if self.graph.nodes[i].name == name] or list(part.nodes)

    def _islands(self, parts: list[Part]) -> bool:
        if all(part.place == NATIVE for part in parts):
            return False
        moved = False
        for part in parts:
            if part.place != NATIVE or part.program is None or _worth(part.program):
                continue
            moved = True
            self._move(
                list(part.nodes),
                "it could run natively, but there is too little work between its neighbours in onnxruntime.",
            )
        return moved


def _worth(program: Program) -> bool:
    if any(isinstance(op, (BConv, Embed)) or weight_bits(op) for op in program.ops):
        return True
    work = sum(macs(op).floating for op in program.ops)
    crossing = sum(v.pixels * v.channels for v in (*program.inputs, *program.outputs))
    return work >= WORTH * crossing


__all__ = ["PERMUTED", "WORTH", "Partition", "partition"]
