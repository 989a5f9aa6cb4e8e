"""What the converter of one operator works with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..imported import Finding
from .attributes import Attributes
from .unsupported import Unsupported

if TYPE_CHECKING:
    from ..build import GraphBuilder
    from .convert import Conversion
    from .symbol import SymbolNode

F32 = NDArray[np.float32]
Converter = Callable[["Call"], str | Sequence[str]]
REGISTRY: dict[str, Converter] = {}
"""MXNet operator -> what makes ONNX of it: the name of the output tensor, or of each."""


def converts(*ops: str) -> Callable[[Converter], Converter]:
    """Registers the converter of MXNet operators."""

    def add(convert: Converter) -> Converter:
        for op in ops:
            if op in REGISTRY:
                raise ValueError(f"operator {op} is registered twice")
            REGISTRY[op] = convert
        return convert

    return add


class Call:
    """One node that is converted: its inputs, attributes, and the graph to write to.

    Methods raise Unsupported where the node asks for what is not there.
    """

    def __init__(self, conversion: Conversion, node: SymbolNode) -> None:
        self.node = node
        self.name = node.name
        self.attrs = Attributes(node.attrs)
        self.build: GraphBuilder = conversion.build
        self._conversion = conversion

    @property
    def count(self) -> int:
        """How many inputs the node has."""
        return len(self.node.inputs)

    @property
    def probabilities(self) -> bool:
        """The caller wants the softmax of a training head."""
        return self._conversion.options.probabilities

    def tensor(self, i: int = 0) -> str:
        """Input i as a tensor of the ONNX graph; a parameter becomes a float32 initializer."""
        item = self._conversion.item(self._input(i))
        return item if isinstance(item, str) else self.build.constant(self.floats(item, self._title(i)), self._title(i))

    def is_param(self, i: int) -> bool:
        """Input i is a parameter that the file holds."""
        return i < self.count and not isinstance(self._conversion.item(self._input(i)), str)

    def param(self, i: int, what: str) -> NDArray[Any]:
        """Input i as a parameter, in the type of the file."""
        if i >= self.count:
            raise Unsupported(f"it has no input for its {what}")
        name = self._conversion.unbound(self._input(i))
        if name is not None:
            raise Unsupported(f"its {what}, the parameter {name!r}, is not in the parameter file")
        item = self._conversion.item(self._input(i))
        if isinstance(item, str):
            raise Unsupported(f"its {what} is computed; only a parameter of the file can be imported there")
        return item

    def vector(self, i: int, what: str, size: int) -> F32:
        """Input i as a float32 parameter of `size` elements."""
        data = self.floats(self.param(i, what), what)
        if data.size != size:
            raise Unsupported(f"its {what} has {data.size} elements, not {size}")
        return data.reshape(size)

    def floats(self, data: NDArray[Any], what: str) -> F32:
        """Float16 and float32 as float32 without NaN."""
        if data.dtype not in (np.dtype("<f4"), np.dtype("<f2")):
            raise Unsupported(f"its {what} is {data.dtype}; only float32 and float16 parameters can be imported")
        if np.isnan(data).any():
            raise Unsupported(f"its {what} contains NaN; the training has diverged")
        return data.astype(np.float32)

    def sample(self, tensor: str) -> tuple[int, ...]:
        """The shape of a tensor without the batch."""
        shape = self.build.shape(tensor)
        if shape is None or any(not isinstance(size, int) for size in shape[1:]):
            raise Unsupported("the shape of its input cannot be known, because nodes before it do not fit together")
        return tuple(int(size) for size in shape[1:] if isinstance(size, int))

    def spatial(self, tensor: str, rank: int) -> tuple[int, tuple[int, ...]]:
        """(channels, spatial sizes) of a map [N, C, *S] with `rank` spatial axes."""
        sample = self.sample(tensor)
        if len(sample) != rank + 1:
            raise Unsupported(f"its input is {self.text(sample)}; a window of rank {rank} needs [N, C, {rank} sizes]")
        return sample[0], sample[1:]

    def flat(self, tensor: str) -> str:
        """A tensor as [N, features]."""
        return tensor if len(self.sample(tensor)) == 1 else self.onnx("Flatten", [tensor])

    def features(self, tensor: str) -> int:
        """Elements of one sample."""
        return math.prod(self.sample(tensor))

    def onnx(self, op: str, inputs: Sequence[str], *, name: str = "", **attributes: Any) -> str:
        """A standard ONNX node; the one that carries the node's name is the last."""
        return self.build.node(op, inputs, name=name or f"{self.name}.{op.lower()}", **attributes)

    def scalar(self, value: float) -> str:
        """A float32 constant that broadcasts with everything."""
        return self.build.constant(np.float32(value), f"{self.name}.constant")

    def found(self, was: str, became: str, note: str = "") -> None:
        """Reports what a binary layer was understood as."""
        self._conversion.findings.append(Finding(self.name, was, became, note))

    @staticmethod
    def text(sample: Sequence[int]) -> str:
        """A sample's shape for errors."""
        return "[" + ", ".join(["N", *map(str, sample)]) + "]"

    def _input(self, i: int) -> tuple[int, int]:
        if i >= self.count:
            raise Unsupported(f"it has {self.count} inputs; input {i} is needed")
        return self.node.inputs[i]

    def _title(self, i: int) -> str:
        return self._conversion.symbol.nodes[self._input(i)[0]].name
