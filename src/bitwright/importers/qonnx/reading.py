"""Attributes and constant parameters of a QONNX node, checked, with errors that name the node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import ImportModelError
from ..patterns.constants import node_attributes
from ..patterns.graph import ModelGraph, node_name

F32 = NDArray[np.float32]


class Reading:
    """One node of a QONNX domain."""

    def __init__(self, graph: ModelGraph, node: onnx.NodeProto, inputs: Sequence[int], outputs: int = 1) -> None:
        self.graph = graph
        self.node = node
        self.attributes = node_attributes(node)
        if len(node.input) not in inputs or len(node.output) != outputs or not all([*node.input, *node.output]):
            raise self.error(
                f"has {len(node.input)} inputs and {len(node.output)} outputs, not {inputs[0]} and {outputs}"
            )

    @property
    def name(self) -> str:
        return node_name(self.node)

    @property
    def output(self) -> str:
        return self.node.output[0]

    def error(self, why: str) -> ImportModelError:
        """An error about this node."""
        return ImportModelError(f"{self.graph.title}: {self.node.op_type} node {self.name!r} {why}")

    def flag(self, name: str, default: int | None) -> bool:
        """An attribute of 0 or 1; without a default it must be there."""
        value = self.attributes.get(name, default)
        if value not in (0, 1):
            raise self.error(f"has {name} = {value!r}, not 0 or 1" if name in self.attributes else f"lacks {name}")
        return bool(value)

    def number(self, name: str, default: float) -> np.float32:
        """A finite float attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float) or not np.isfinite(np.float32(value)):
            raise self.error(f"has {name} = {value!r}, not a finite number")
        return np.float32(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise self.error(f"has {name} = {value!r}, not a string")
        return value

    def constant(self, index: int, what: str) -> F32:
        """A constant parameter as finite float32."""
        name = self.node.input[index]
        value: Any = self.graph.value(name) if self.graph.is_constant(name) else None
        if value is None or value.dtype.kind not in "fiub":
            raise self.error(f"has a {what} ({name!r}) that is no constant; only constants are supported")
        array = np.asarray(value, dtype=np.float32)
        if not np.isfinite(array).all():
            raise self.error(f"has a {what} ({name!r}) that is not finite")
        return array

    def scale(self, index: int, what: str = "scale") -> F32:
        """A constant scale, positive everywhere."""
        value = self.constant(index, what)
        if not (value > 0).all():
            raise self.error(f"has a {what} that is not positive: {float(value.min())}")
        return value

    def bit_width(self, index: int, what: str = "bit width") -> int:
        """A constant whole number from 1 to 32."""
        value = self.constant(index, what)
        if value.size != 1 or not 1 <= float(value.reshape(())) <= 32 or float(value.reshape(())) % 1:
            raise self.error(
                f"has the {what} {value.reshape(-1)[:4].tolist()}; it must be one whole number from 1 to 32"
            )
        return int(value.reshape(()))

    def check_broadcast(self, x: str, parameters: Sequence[F32]) -> None:
        """The parameters must not enlarge x."""
        shape = self.graph.shape(x)
        for value in parameters:
            if value.size == 1 and (shape is None or value.ndim <= len(shape)):
                continue
            ok = shape is not None and value.ndim <= len(shape)
            ok = ok and all(n in (1, s) for n, s in zip(reversed(value.shape), reversed(shape or ()), strict=False))
            if not ok:
                raise self.error(f"has parameters of shape {list(value.shape)} for an input {list(shape or ['?'])}")
