"""The bytes of a .tflite file as plain dataclasses.

Nothing of a file is trusted: every length is compared with the file's size before anything is made of it, and whatever
the flatbuffers package trips over becomes one error.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImportModelError

IDENTIFIER = b"TFL3"  # at byte 4 of every .tflite file
_CUSTOM = 32  # BuiltinOperator.CUSTOM
_TYPES = {  # TensorType -> dtype; the others (strings, complex, resources) have no place in a network of layers
    0: np.float32,
    1: np.float16,
    2: np.int32,
    3: np.uint8,
    4: np.int64,
    6: np.bool_,
    7: np.int16,
    9: np.int8,
    15: np.uint32,
}
_RANK_LIMIT = 8
_OPTION_LIMIT = 64
DAMAGE = (struct.error, IndexError, TypeError, ValueError, KeyError, AttributeError, OverflowError, UnicodeError)


@dataclass(frozen=True)
class Quantization:
    """real = scale * (stored - zero_point), per tensor (one entry) or along `axis`."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int

    @property
    def per_tensor(self) -> bool:
        return self.scale.size == 1


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file. `data` is the constant, or None for one that is computed; `shape` is the file's."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantization: Quantization | None
    data: NDArray[Any] | None


@dataclass(frozen=True)
class Operator:
    """A node. Inputs and outputs are tensor indices, -1 for an input that is left out."""

    op: str  # "CONV_2D", or the name of a custom operator: "LceBconv2d"
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)  # of a custom operator: the flexbuffer map's integers
    table: Any = None  # of a standard one: its options' flatbuffers table, or None


@dataclass(frozen=True)
class Network:
    """The main subgraph."""

    version: int
    description: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(data: bytes, name: str) -> Network:
    """Reads a model.

    Args:
        data: the whole file.
        name: of the file, for errors.

    Raises:
        ImportModelError: it is truncated or damaged, or has more than one subgraph, sparse or unknown tensors.
    """
    import tflite

    if data[4:8] != IDENTIFIER:
        raise ImportModelError(f"{name} is no .tflite file: bytes 4 to 8 are {data[4:8]!r}, not {IDENTIFIER!r}")
    try:
        return _Reader(tflite, data, name).network()
    except ImportModelError:
        raise
    except DAMAGE as error:
        raise ImportModelError(f"{name} is truncated or damaged: {type(error).__name__}: {error}") from error


class _Reader:
    def __init__(self, tflite: ModuleType, data: bytes, name: str) -> None:
        self.tflite = tflite
        self.data = data
        self.name = name
        self.model = tflite.Model.GetRootAs(data, 0)

    def fail(self, why: str) -> ImportModelError:
        return ImportModelError(f"{self.name}: {why}")

    def count(self, length: int, what: str) -> int:
        """A vector's length; each element takes 4 bytes at least."""
        if not 0 <= length <= len(self.data) // 4:
            raise self.fail(f"it claims {length} {what} in {len(self.data)} bytes: truncated or damaged")
        return length

    def network(self) -> Network:
        model = self.model
        graphs = self.count(model.SubgraphsLength(), "subgraphs")
        if graphs != 1:
            raise self.fail(f"it has {graphs} subgraphs; one is supported (no control flow)")
        graph = model.Subgraphs(0)
        codes = [self.code(model.OperatorCodes(i)) for i in range(self.count(model.OperatorCodesLength(), "operators"))]
        tensors = tuple(self.tensor(i, graph.Tensors(i)) for i in range(self.count(graph.TensorsLength(), "tensors")))
        operators = []
        for i in range(self.count(graph.OperatorsLength(), "nodes")):
            operators.append(self.operator(i, graph.Operators(i), codes, len(tensors)))
        inputs = self.indices(graph.InputsAsNumpy(), len(tensors), "the model's inputs")
        outputs = self.indices(graph.OutputsAsNumpy(), len(tensors), "the model's outputs")
        if not inputs or not outputs or min(*inputs, *outputs) < 0:
            raise self.fail(f"its inputs are tensors {list(inputs)} and its outputs {list(outputs)}")
        description = (model.Description() or b"").decode(errors="replace")
        return Network(int(model.Version()), description, tensors, tuple(operators), inputs, outputs)

    def code(self, code: Any) -> tuple[str, bool]:
        number = max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))
        if number == _CUSTOM:
            return (code.CustomCode() or b"").decode(), True
        return _builtin_names(self.tflite).get(number, f"builtin operator {number}"), False

    def indices(self, values: Any, limit: int, what: str) -> tuple[int, ...]:
        found = tuple(int(v) for v in values) if isinstance(values, np.ndarray) else ()
        if any(not -1 <= v < limit for v in found):
            raise self.fail(f"{what} are the tensors {list(found)[:16]}, but it has {limit}")
        return found

    def tensor(self, index: int, tensor: Any) -> Tensor:
        name = (tensor.Name() or b"").decode(errors="replace") or f"tensor_{index}"
        where = f"tensor {index} {name!r}"
        shape = self.numbers(tensor.ShapeAsNumpy())
        if len(shape) > _RANK_LIMIT or any(not 0 <= n < 1 << 31 for n in shape):
            raise self.fail(f"{where} has the shape {shape[:16]}")
        kind = int(tensor.Type())
        if kind not in _TYPES:
            raise self.fail(f"{where} has the type {kind}; numbers up to 64 bits, float16 and float32 are supported")
        if tensor.Sparsity() is not None:
            raise self.fail(f"{where} is sparse; convert the model without sparsity")
        if tensor.IsVariable():
            raise self.fail(f"{where} is a variable: the model keeps state from one call to the next")
        dtype = np.dtype(_TYPES[kind])
        quantization = self.quantization(tensor.Quantization(), len(shape), shape, where)
        return Tensor(index, name, tuple(shape), dtype, quantization, self.constant(tensor, shape, dtype, where))

    def numbers(self, values: Any) -> list[int]:
        return [int(v) for v in values] if isinstance(values, np.ndarray) else []

    def constant(self, tensor: Any, shape: list[int], dtype: np.dtype[Any], where: str) -> NDArray[Any] | None:
        number = int(tensor.Buffer())
        if not 0 <= number < self.count(self.model.BuffersLength(), "buffers"):
            raise self.fail(f"{where} lies in buffer {number} of {self.model.BuffersLength()}")
        buffer = self.model.Buffers(number)
        offset, size = int(buffer.Offset()), int(buffer.Size())
        raw: NDArray[Any] | None
        if offset > 1:  # data behind the flatbuffer, as files over 2 GiB have it
            if offset + size > len(self.data):
                raise self.fail(f"{where} lies at bytes {offset} to {offset + size} of {len(self.data)}")
            raw = np.frombuffer(self.data, np.uint8, size, offset)
        else:
            raw = buffer.DataAsNumpy() if buffer.DataLength() else None
        if raw is None:
            return np.zeros(shape, dtype) if 0 in shape else None
        wanted = math.prod(shape) * dtype.itemsize
        if raw.size != wanted:
            raise self.fail(f"{where} of shape {shape} and type {dtype} needs {wanted} bytes, the file has {raw.size}")
        return raw.view(dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)

    def quantization(self, found: Any, rank: int, shape: list[int], where: str) -> Quantization | None:
        if found is None or not found.ScaleLength():
            return None
        scale = np.asarray(found.ScaleAsNumpy(), np.float32)
        zero = np.asarray(found.ZeroPointAsNumpy(), np.int64) if found.ZeroPointLength() else np.zeros(1, np.int64)
        axis = int(found.QuantizedDimension())
        if zero.size == 1 and scale.size > 1:
            zero = np.repeat(zero, scale.size)
        if scale.size != zero.size or not np.isfinite(scale).all() or (scale <= 0).any():
            raise self.fail(f"{where} has {scale.size} scales (from {scale.min()}) and {zero.size} zero points")
        if scale.size > 1 and (not 0 <= axis < rank or shape[axis] != scale.size):
            raise self.fail(f"{where} of shape {shape} has {scale.size} scales along axis {axis}")
        if np.abs(zero).max() > 1 << 16:
            raise self.fail(f"{where} has the zero point {zero[0]}")
        return Quantization(scale, zero, axis)

    def operator(self, number: int, operator: Any, codes: list[tuple[str, bool]], tensors: int) -> Operator:
        index = int(operator.OpcodeIndex())
        if not 0 <= index < len(codes):
            raise self.fail(f"node {number} is operator {index} of {len(codes)}")
        op, custom = codes[index]
        inputs = self.indices(operator.InputsAsNumpy(), tensors, f"the inputs of node {number}")
        outputs = self.indices(operator.OutputsAsNumpy(), tensors, f"the outputs of node {number}")
        if not outputs or min(outputs) < 0:
            raise self.fail(f"node {number} ({op}) writes the tensors {list(outputs)}")
        if not custom:
            return Operator(op, False, inputs, outputs, table=self.table(operator))
        raw = operator.CustomOptionsAsNumpy() if operator.CustomOptionsLength() else None
        options = {} if raw is None else flexbuffer_integers(raw.tobytes())
        return Operator(op, True, inputs, outputs, options)

    def table(self, operator: Any) -> Any:
        """The options as the tflite package's class for their type."""
        kind = int(operator.BuiltinOptionsType())
        union = operator.BuiltinOptions()
        if not kind or union is None:
            return None
        names = {v: k for k, v in vars(self.tflite.BuiltinOptions).items() if isinstance(v, int)}
        make: Callable[[], Any] | None = getattr(self.tflite, names.get(kind, ""), None)
        if make is None:
            return None
        table = make()
        table.Init(union.Bytes, union.Pos)
        return table


def _builtin_names(tflite: ModuleType) -> dict[int, str]:
    return {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}


def flexbuffer_integers(data: bytes) -> dict[str, int]:
    """The integers of a flexbuffer map; other entries are left out (none of Larq's operators has any).

    Raises:
        ValueError: it is no map, or has more than 64 entries.
    """
    from flatbuffers import flexbuffers

    root = flexbuffers.GetRoot(bytearray(data))
    if not root.IsMap:
        raise ValueError("custom options are no flexbuffer map")
    entries = root.AsMap
    if len(entries) > _OPTION_LIMIT:
        raise ValueError(f"custom options claim {len(entries)} entries")
    found: dict[str, int] = {}
    for key, value in zip(entries.Keys, entries.Values, strict=True):
        if value.IsInt or value.IsBool:
            found[key.AsKey] = int(value.AsInt)
    return found
