"""Constant folding, also of shape arithmetic that depends on the batch size.

A graph exported with a dynamic batch computes shapes at run time (Shape, Gather, Concat, Reshape). Each such tensor
is evaluated twice, for
two batch sizes: what is equal in both is a constant, an element that equals the batch size in both *is* the batch size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from .errors import Unsupported
from .graph import Node

Array = np.ndarray[Any, Any]
BATCHES = (11, 13)
# Larger results are not shape arithmetic nor a small table: folding must not blow up a hostile file.
LIMIT = 1 << 28


@dataclass(frozen=True)
class Known:
    """A tensor whose content is known for each of the two batch sizes (the same array when it does not depend on
    it)."""

    values: tuple[Any, Any]

    @property
    def fixed(self) -> bool:
        return self.values[0] is self.values[1]

    def constant(self, what: str) -> Array:
        """The array, if it is the same for every batch size; raises `Unsupported` otherwise."""
        if not self.fixed or not isinstance(self.values[0], np.ndarray):
            raise Unsupported(
                f"its {what} depends on the batch size.", "Samples of a batch must not influence each other."
            )
        return self.values[0]


def known(a: Any, b: Any) -> Known:
    """Joins the two results, recognising equal ones."""
    same = (
        isinstance(a, np.ndarray)
        and isinstance(b, np.ndarray)
        and a.dtype == b.dtype
        and a.shape == b.shape
        and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    )
    return Known((a, a) if same else (a, b))


def shape_of(shape: tuple[int, ...]) -> Known:
    """The Shape of a tensor `[N, *shape]`."""
    a, b = (np.array([n, *shape], dtype=np.int64) for n in BATCHES)
    return known(a, b)


def is_batch(pair: tuple[int, int]) -> bool:
    """Whether an element is the batch size."""
    return pair == BATCHES


def fold(node: Node, inputs: list[Known | None], opset: int) -> list[Known]:
    """Runs a node whose inputs are all known, with onnx's reference implementation."""
    runs = []
    count = 1 if all(i is None or i.fixed for i in inputs) else 2
    for k in range(count):
        runs.append(_run(node, [None if i is None else i.values[k] for i in inputs], opset))
    if count == 1:
        return [Known((v, v)) for v in runs[0]]
    return [known(a, b) for a, b in zip(*runs, strict=True)]


def _run(node: Node, inputs: list[Any], opset: int) -> list[Any]:
    if node.op == "Shape" and inputs[0] is not None:  # by hand: exporters write many
        shape = np.array(inputs[0].shape, dtype=np.int64)
        return [shape[int(node.attrs.get("start", 0)) : node.attrs.get("end")]]
    if node.op in ("Expand", "ConstantOfShape", "Tile"):
        target = inputs[0] if node.op == "ConstantOfShape" else inputs[1]
        if float(np.prod(np.asarray(target, dtype=np.float64))) > LIMIT:
            raise Unsupported(f"its constant result has more than {LIMIT} elements.")
    from onnx.reference import ReferenceEvaluator

    assert node.proto is not None

    given = {name: v for name, v in zip(node.inputs, inputs, strict=True) if name}
    graph = onnx.helper.make_graph(
        [node.proto],
        "fold",
        [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in given],
        [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in node.outputs if n],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            results = iter(ReferenceEvaluator(model).run(None, given))
    except Exception as error:  # the reference implementation raises what it likes on a malformed node
        raise Unsupported(f"it has constant inputs but cannot be evaluated: {error}") from error
    return [next(results) if n else None for n in node.outputs]
