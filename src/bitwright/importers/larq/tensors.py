"""The tensors of the file while they become ONNX: layouts, bits, quantisation.

TFLite keeps maps as [N, H, W, C], ONNX layers want [N, C, H, W]. A map stays channels-first from one layer to the next;
an operator that needs the file's own order asks for it and gets a Transpose, once. A packed bit tensor never exists:
it is the float tensor it was made of, with the threshold, until somebody wants to see its ±1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compiler.dialect import BinarizeAttrs

from ..build import GraphBuilder
from ..errors import ImportModelError
from .reader import Network, Operator, Tensor

TO_FIRST = (0, 3, 1, 2)
TO_FILE = (0, 2, 3, 1)
FIRST_AXIS = {0: 0, 1: 2, 2: 3, 3: 1}  # axis of [N, H, W, C] -> axis of [N, C, H, W]


class FixedBatch(Exception):
    """An operator that moves data between samples, so the file's own batch size must stay."""


@dataclass
class Real:
    """A computed tensor under its ONNX names: in the file's order of axes, and channels-first (rank 4 only)."""

    file: str | None = None
    first: str | None = None


@dataclass
class Bits:
    """A packed tensor: the bit of an element is +1 where `source >= threshold`. All are channels-first if rank 4.

    `threshold` has 1 or C elements.
    """

    source: str
    threshold: NDArray[np.float32]
    channels: int
    rank: int
    signs: str | None = None  # the ±1 tensor, once somebody wanted it
    readers: list[str] = field(default_factory=list)


class Tensors:
    """What each tensor of the file has become so far."""

    def __init__(self, network: Network, build: GraphBuilder, file: str, *, fixed_batch: bool) -> None:
        self.network = network
        self.build = build
        self.file = file
        self.fixed_batch = fixed_batch
        self._made: dict[int, Real | Bits] = {}
        self._folded: dict[int, Tensor] = {}

    def fail(self, op: Operator, why: str) -> ImportModelError:
        """An error that names the node."""
        return ImportModelError(f"{self.file}: {op.op} node {self.title(op)!r}: {why}")

    def title(self, op: Operator) -> str:
        """A node's name is that of its first output, of which the converter may have joined several with `;`."""
        return self.tensor(op.outputs[0]).name.split(";")[0]

    def tensor(self, index: int) -> Tensor:
        return self._folded.get(index) or self.network.tensors[index]

    # --- inputs of a node

    def has(self, op: Operator, i: int) -> bool:
        return i < len(op.inputs) and op.inputs[i] >= 0

    def of(self, op: Operator, i: int) -> Tensor:
        """The file's tensor that is input i."""
        if not self.has(op, i):
            raise self.fail(op, f"input {i} is missing")
        return self.tensor(op.inputs[i])

    def shape(self, op: Operator, i: int = 0) -> tuple[int, ...]:
        """The file's shape of input i."""
        return self.of(op, i).shape

    def out(self, op: Operator, i: int = 0) -> Tensor:
        return self.tensor(op.outputs[i])

    def const(self, op: Operator, i: int, what: str) -> NDArray[Any]:
        """Input i as a constant, as stored."""
        tensor = self.of(op, i)
        if tensor.data is None:
            raise self.fail(op, f"its {what} (tensor {tensor.name!r}) is computed; it must be a constant")
        return tensor.data

    def ints(self, op: Operator, i: int, what: str) -> list[int]:
        """Input i as a short list of integers."""
        data = self.const(op, i, what)
        if data.dtype.kind not in "iu" or data.size > 64:
            raise self.fail(op, f"its {what} is {data.dtype} with {data.size} elements; a few integers are expected")
        return [int(v) for v in data.reshape(-1)]

    def is_const(self, op: Operator, i: int) -> bool:
        return self.has(op, i) and self.of(op, i).data is not None

    def real_const(self, op: Operator, i: int, what: str) -> NDArray[np.float32]:
        """Input i as a float32 constant; a quantised one is dequantised."""
        data, tensor = self.const(op, i, what), self.of(op, i)
        if data.dtype in (np.float32, np.float16):
            return data.astype(np.float32)
        q = tensor.quantization
        if q is None:
            raise self.fail(op, f"its {what} (tensor {tensor.name!r}) is {data.dtype} without scale")
        column = [1] * data.ndim
        if not q.per_tensor:
            column[q.axis] = -1
        scale, zero = q.scale.reshape(column or ()), q.zero_point.reshape(column or ())
        return ((data.astype(np.float64) - zero) * scale).astype(np.float32)

    def bits(self, op: Operator, i: int) -> Bits:
        """Input i as bits: a packed tensor, or the signs of a float or quantised one."""
        index = self._index(op, i)
        made = self._made[index]
        if isinstance(made, Bits):
            return made
        tensor = self.tensor(index)
        if not tensor.shape:
            raise self.fail(op, "its input is a scalar")
        source = self.first(op, i) if len(tensor.shape) == 4 else self.plain(op, i)
        return Bits(source, np.zeros(1, np.float32), tensor.shape[-1], len(tensor.shape))

    def signs(self, bits: Bits, name: str = "") -> str:
        """The ±1 tensor of bits (channels-first if rank 4), made once."""
        if bits.signs is None:
            axis = 1 if bits.rank == 4 else -1
            threshold = self.build.constant(bits.threshold, "threshold")
            bits.signs = self.build.dialect(BinarizeAttrs(-1.0, axis), [bits.source, threshold], name=name)
        return bits.signs

    def first(self, op: Operator, i: int = 0) -> str:
        """Input i, a map, channels-first."""
        real = self._real(op, i)
        if real.first is None:
            if len(self.shape(op, i)) != 4:
                raise self.fail(op, f"input {i} has the shape {list(self.shape(op, i))}; a map [N, H, W, C] is needed")
            assert real.file is not None
            real.first = self.build.node("Transpose", [real.file], perm=list(TO_FIRST))
        return real.first

    def plain(self, op: Operator, i: int = 0) -> str:
        """Input i in the file's order of axes."""
        real = self._real(op, i)
        if real.file is None:
            assert real.first is not None
            real.file = self.build.node("Transpose", [real.first], perm=list(TO_FILE))
        return real.file

    def is_first(self, op: Operator, i: int = 0) -> bool:
        """Whether input i is computed and available channels-first."""
        return self.has(op, i) and not self.is_const(op, i) and self._real(op, i).first is not None

    def any(self, op: Operator, i: int = 0) -> tuple[str, bool]:
        """Input i as it lies, and whether that is channels-first."""
        first = self.is_first(op, i)
        return (self.first(op, i) if first else self.plain(op, i)), first

    def _index(self, op: Operator, i: int) -> int:
        tensor = self.of(op, i)
        if tensor.index not in self._made:
            if tensor.data is None:
                raise self.fail(op, f"it reads tensor {tensor.name!r}, which no earlier node computes")
            value = tensor.data if tensor.data.dtype.kind in "iub" and tensor.quantization is None else None
            array = self.real_const(op, i, "constant") if value is None else value
            self._made[tensor.index] = Real(file=self.build.constant(array, tensor.name or "constant"))
        return tensor.index

    def _real(self, op: Operator, i: int) -> Real:
        made = self._made[self._index(op, i)]
        if isinstance(made, Bits):
            raise self.fail(op, f"input {i} is packed bits, which only Larq's own operators read")
        return made

    # --- outputs

    def given(self, index: int, name: str) -> None:
        """A model input, float, in the file's order."""
        self._made[index] = Real(file=name)

    def fold(self, op: Operator, value: NDArray[Any]) -> None:
        """Makes a node's output a constant."""
        tensor = self.out(op)
        if tensor.index in self._made or tensor.data is not None or tensor.shape != value.shape:
            raise self.fail(op, f"its output {tensor.name!r} of shape {list(tensor.shape)} is not {list(value.shape)}")
        self._folded[tensor.index] = replace(tensor, data=value)

    def put(self, op: Operator, name: str, *, first: bool = False, exact: bool = False, i: int = 0) -> None:
        """Output i of a node. A quantised one is rounded to its levels, unless it only moves such values (`exact`)."""
        tensor = self.out(op, i)
        if tensor.index in self._made or tensor.data is not None:
            raise self.fail(op, f"its output {tensor.name!r} is a constant or another node's output too")
        if tensor.quantization is not None and not exact:
            name = dequantize(self.build, quantize(self.build, name, tensor), tensor)
        declared = tuple(tensor.shape[a] for a in TO_FIRST) if first and len(tensor.shape) == 4 else tensor.shape
        self._compare(op, name, declared)
        self._made[tensor.index] = Real(first=name) if first else Real(file=name)

    def _compare(self, op: Operator, name: str, declared: tuple[int, ...]) -> None:
        """The inferred shape against the declared one: a file that contradicts itself is not run."""
        found = self.build.shape(name)
        if found is None:
            raise self.fail(op, f"its inputs do not fit each other, or its options (it declares {list(declared)})")
        same = len(found) == len(declared) and all(
            f == d or not isinstance(f, int) for f, d in zip(found, declared, strict=True)
        )
        if not same:
            raise self.fail(op, f"its output is declared as {list(declared)}, but it computes {list(found)}")

    def put_bits(self, op: Operator, bits: Bits) -> None:
        """A packed output."""
        tensor = self.out(op)
        if tensor.index in self._made or tensor.data is not None:
            raise self.fail(op, f"its output {tensor.name!r} is a constant or another node's output too")
        if not tensor.shape or tensor.shape[-1] != -(-bits.channels // 32):
            raise self.fail(op, f"its output of shape {list(tensor.shape)} does not hold {bits.channels} packed bits")
        if bits.rank == 4:
            self._compare(op, bits.source, (tensor.shape[0], bits.channels, *tensor.shape[1:3]))
        self._made[tensor.index] = bits

    def result(self, index: int) -> tuple[Tensor, str]:
        """A model output in the file's order.

        Raises:
            ImportModelError: no node computes it, or it is packed bits.
        """
        tensor, made = self.tensor(index), self._made.get(index)
        if isinstance(made, Bits):
            raise ImportModelError(f"{self.file}: the model's output {tensor.name!r} is packed bits, not floats")
        if made is None:
            raise ImportModelError(f"{self.file}: no node computes the model's output {tensor.name!r}")
        if made.file is None:
            assert made.first is not None
            made.file = self.build.node("Transpose", [made.first], perm=list(TO_FILE))
        return tensor, made.file

    def batch(self, sizes: Sequence[int]) -> int:
        """The first entry of a Reshape's target: 0 copies the batch, unless the file's own size is kept."""
        return sizes[0] if self.fixed_batch else 0

    def longs(self, values: Sequence[int], hint: str) -> str:
        """A vector of int64."""
        return self.build.constant(np.array(values, np.int64), hint)

    def need_fixed_batch(self, op: Operator) -> None:
        """Called by an operator that works along the batch axis."""
        if not self.fixed_batch:
            raise FixedBatch(f"{op.op} node {self.title(op)!r}")


def _levels(tensor: Tensor) -> tuple[NDArray[np.float32], NDArray[Any]]:
    q = tensor.quantization
    assert q is not None
    if tensor.dtype not in (np.int8, np.uint8, np.int16):
        raise ImportModelError(f"tensor {tensor.name!r} is quantised to {tensor.dtype}, not int8, uint8 or int16")
    if not q.per_tensor:
        raise ImportModelError(f"tensor {tensor.name!r} is computed and has {q.scale.size} scales; one is supported")
    info = np.iinfo(tensor.dtype)
    if not info.min <= q.zero_point[0] <= info.max:
        raise ImportModelError(f"tensor {tensor.name!r} of type {tensor.dtype} has the zero point {q.zero_point[0]}")
    return q.scale.reshape(()), q.zero_point.astype(tensor.dtype).reshape(())


def quantize(build: GraphBuilder, name: str, tensor: Tensor) -> str:
    """The stored levels of a float tensor."""
    scale, zero = _levels(tensor)
    return build.node("QuantizeLinear", [name, build.constant(scale, "scale"), build.constant(zero, "zero_point")])


def dequantize(build: GraphBuilder, name: str, tensor: Tensor) -> str:
    """The float values of stored levels."""
    scale, zero = _levels(tensor)
    return build.node("DequantizeLinear", [name, build.constant(scale, "scale"), build.constant(zero, "zero_point")])
