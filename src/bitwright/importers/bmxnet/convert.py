"""Walks a symbol's graph once and writes the ONNX graph; collects every problem before it gives up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..build import GraphBuilder
from ..errors import ImportModelError
from ..imported import Finding
from ..options import ImportOptions
from . import ops as _ops  # noqa: F401  (registers the converters)
from .attributes import Attributes
from .call import REGISTRY, Call
from .ops.heads import SOFTMAX_HEADS
from .symbol import Symbol, SymbolNode
from .unsupported import Unsupported

Item = str | NDArray[Any]
"""A tensor of the ONNX graph by its name, or a parameter."""


class Conversion:
    """One model on its way to ONNX.

    Raises:
        ImportModelError: from `run`, naming every node that cannot be imported and why.
    """

    def __init__(self, symbol: Symbol, params: Mapping[str, NDArray[Any]], options: ImportOptions, where: str) -> None:
        self.symbol = symbol
        self.params = params
        self.options = options
        self.where = where
        self.build = GraphBuilder("mxnet")
        self.findings: list[Finding] = []
        self._items: dict[tuple[int, int], Item] = {}
        self._inputs: dict[str, str] = {}

    def run(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The ONNX model of all nodes that the heads need."""
        problems: list[str] = []
        broken: set[int] = set()
        for index in self._needed():
            node = self.symbol.nodes[index]
            if node.is_variable:
                continue
            if broken.intersection(source for source, _ in node.inputs):
                broken.add(index)  # its own problem, if any, cannot be known
                if node.op in REGISTRY:
                    continue
            try:
                self._convert(index, node)
            except Unsupported as error:
                broken.add(index)
                problems.append(f"{node.name} ({node.op}): {error}")
        if problems:
            count = f"{len(problems)} nodes" if len(problems) > 1 else "a node"
            raise ImportModelError(f"{self.where}: {count} cannot be imported:\n  " + "\n  ".join(problems))
        self._outputs()
        return self.build.finish(metadata)

    def item(self, entry: tuple[int, int]) -> Item:
        """What an input of a node stands for; a variable without parameter becomes an input of the model."""
        index, output = entry
        node = self.symbol.nodes[index]
        if node.is_variable:
            if output:
                raise Unsupported(f"it reads output {output} of the variable {node.name!r}, which has one")
            found = self.params.get(node.name)
            return found if found is not None else self._input(node)
        if entry not in self._items:
            raise Unsupported(f"it reads output {output} of {node.name!r} ({node.op}), which has no such output here")
        return self._items[entry]

    def unbound(self, entry: tuple[int, int]) -> str | None:
        """The name of a variable that no parameter belongs to, else None."""
        node = self.symbol.nodes[entry[0]]
        return node.name if node.is_variable and node.name not in self.params else None

    def _needed(self) -> list[int]:
        """The nodes that the heads need, in the order of the file. (A variable becomes an input when a node asks for
        it; nobody asks for a training label.)"""
        seen: set[int] = set()
        waiting = [index for index, _ in self.symbol.heads]
        while waiting:
            index = waiting.pop()
            if index not in seen:
                seen.add(index)
                waiting += [source for source, _ in self.symbol.nodes[index].inputs]
        return sorted(seen)

    def _convert(self, index: int, node: SymbolNode) -> None:
        convert = REGISTRY.get(node.op)
        if convert is None:
            raise Unsupported(f"the importer does not know this operator; it knows {', '.join(sorted(REGISTRY))}")
        result = convert(Call(self, node))
        for output, tensor in enumerate([result] if isinstance(result, str) else result):
            self._items[index, output] = tensor

    def _input(self, node: SymbolNode) -> str:
        if node.name not in self._inputs:
            self._inputs[node.name] = self.build.input(node.name, ["N", *self._shape(node)])
        return self._inputs[node.name]

    def _shape(self, node: SymbolNode) -> tuple[int, ...]:
        """The shape of one sample of a model input: the caller's word, else the file's `__shape__`."""
        if self.options.input_shape is not None:
            if self._inputs:
                raise ImportModelError(
                    f"{self.where}: the model has several inputs ({', '.join([*self._inputs, node.name])}), and "
                    "input_shape is of one; parameters that are missing from the file look like inputs too"
                )
            return self.options.input_shape
        try:
            stored = Attributes(node.attrs).integers("__shape__", ())
        except Unsupported:
            stored = ()
        if len(stored) > 1 and min(stored[1:]) > 0:
            return stored[1:]
        raise ImportModelError(
            f"{self.where}: the file does not hold the shape of the model's input {node.name!r}{self._hint(node)}; "
            "give that of one sample: input_shape=(3, 224, 224), or --input_shape [3,224,224]"
        )

    def _hint(self, variable: SymbolNode) -> str:
        """What the first layer behind an input tells about it."""
        for node in self.symbol.nodes:
            if not node.inputs or self.symbol.nodes[node.inputs[0][0]] is not variable or len(node.inputs) < 2:
                continue
            weight = self.params.get(self.symbol.nodes[node.inputs[1][0]].name)
            if weight is None:
                continue
            if node.op == "BatchNorm" and weight.ndim == 1:
                return f" (it has {weight.shape[0]} channels)"
            if node.op == "Convolution" and weight.ndim > 2 and node.attrs.get("num_group", "1") == "1":
                return f" (it has {weight.shape[1]} channels)"
            if node.op == "FullyConnected" and weight.ndim == 2:
                return f" (it has {weight.shape[1]} elements)"
        return ""

    def _outputs(self) -> None:
        names: dict[str, str] = {}
        for index, output in dict.fromkeys(self.symbol.heads):
            entry = index, output
            while not self.options.probabilities and self.symbol.nodes[entry[0]].op in SOFTMAX_HEADS:
                entry = self.symbol.nodes[entry[0]].inputs[0]  # what is left are its logits
            node = self.symbol.nodes[entry[0]]
            try:
                item = self.item(entry)
            except Unsupported as error:
                raise ImportModelError(f"{self.where}: an output of the model cannot be imported: {error}") from error
            if not isinstance(item, str):
                raise ImportModelError(f"{self.where}: the model's output {node.name!r} is a parameter")
            name = f"{node.name}_output" + (str(entry[1]) if entry[1] else "")
            if name not in names:
                self.build.output(item, name, np.float32)
            elif names[name] != item:
                raise ImportModelError(f"{self.where}: two outputs of the model are called {name!r}")
            names[name] = item
