"""The attributes of `ai.bitwright` nodes: one frozen dataclass an operator, checked when made.

onnx is imported only to read and make nodes, so the packed torch operators share these classes without it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    import onnx

DOMAIN = "ai.bitwright"
VERSION = 1
MODULE_KEY = "bitwright.module"
"""Metadata key of a node: the path of the PyTorch module that it came from."""
CALL_KEY = "bitwright.call"
"""Metadata key of a node: which call of that module it came from, from 1; absent for the first call (0)."""

PAD_MODES = ("constant", "edge")


class DialectError(ValueError):
    """A node of the domain `ai.bitwright` that docs/dialect.md does not allow."""


A = TypeVar("A", bound="NodeAttrs")


@dataclass(frozen=True)
class NodeAttrs:
    """What all operators share; the fields of a subclass are exactly the operator's attributes, all required."""

    op: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        self.check()

    def check(self) -> None:
        """Raises DialectError naming the attribute whose value is not allowed."""

    @classmethod
    def from_node(cls: type[A], node: Any) -> A:
        """Reads an `onnx.NodeProto` or `onnx_ir.Node`.

        Raises:
            DialectError: another operator, or an attribute is missing, unknown, of a wrong type or not allowed.
        """
        where = f"{node.op_type} node {node.name!r}"
        if (node.domain, node.op_type) != (DOMAIN, cls.op):
            raise DialectError(f"{where} of domain {node.domain!r} is not {DOMAIN}::{cls.op}")
        found = _attribute_values(node)
        fields = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        missing, unknown = fields.keys() - found.keys(), found.keys() - fields.keys()
        if missing or unknown:
            problem = [f"lacks {sorted(missing)}"] if missing else []
            problem += [f"has unknown {sorted(unknown)}"] if unknown else []
            raise DialectError(f"{where} {' and '.join(problem)}; its attributes are {sorted(fields)}")
        try:
            return cls(**{name: _convert(name, found[name], kind) for name, kind in fields.items()})
        except DialectError as error:
            raise DialectError(f"{where}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Attribute name to value (ints, floats, strings, tuples of ints)."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def make_node(
        self, inputs: Sequence[str], outputs: Sequence[str], *, name: str = "", module: str | None = None
    ) -> onnx.NodeProto:
        """The `onnx.NodeProto` with these attributes; `module` goes to its metadata."""
        import onnx

        if len(inputs) != len(self.inputs):
            raise DialectError(f"{self.op} takes the inputs {self.inputs}, got {list(inputs)}")
        node = onnx.helper.make_node(self.op, list(inputs), list(outputs), name=name, domain=DOMAIN)
        for key, value in self.to_dict().items():
            node.attribute.append(onnx.helper.make_attribute(key, value))
        if module is not None:
            node.metadata_props.add(key=MODULE_KEY, value=module)
        return node


@dataclass(frozen=True)
class _Geometry(NodeAttrs):
    """What both convolutions share. Spatial tuples have 1, 2 or 3 entries; `pads` has the begins, then the ends."""

    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def rank(self) -> int:
        """Spatial dimensions: 1, 2 or 3."""
        return len(self.kernel_shape)

    @property
    def taps(self) -> int:
        """Kernel positions."""
        return math.prod(self.kernel_shape)

    @property
    def pad_begin(self) -> tuple[int, ...]:
        return self.pads[: self.rank]

    @property
    def pad_end(self) -> tuple[int, ...]:
        return self.pads[self.rank :]

    def _check_geometry(self, group: int, channels: int, low: float) -> None:
        if self.rank not in (1, 2, 3):
            raise DialectError(f"kernel_shape must have 1, 2 or 3 dimensions, got {self.kernel_shape}")
        for name, value, size, least in (
            ("kernel_shape", self.kernel_shape, self.rank, 1),
            ("strides", self.strides, self.rank, 1),
            ("dilations", self.dilations, self.rank, 1),
            ("pads", self.pads, 2 * self.rank, 0),
        ):
            if len(value) != size or min(value) < least:
                raise DialectError(f"{name} must be {size} integers >= {least}, got {value}")
        if group < 1:
            raise DialectError(f"group must be >= 1, got {group}")
        _check_channels(channels)
        _check_low(low)

    def _convolved(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial output size of a convolution that is not transposed."""
        _check_rank(size, self.rank)
        result = []
        for n, k, s, d, begin, end in zip(
            size, self.kernel_shape, self.strides, self.dilations, self.pad_begin, self.pad_end, strict=True
        ):
            room = n + begin + end - d * (k - 1) - 1
            if room < 0:
                raise DialectError(
                    f"the kernel {self.kernel_shape} with dilation {self.dilations} does not fit into the input "
                    f"{tuple(size)} padded by {self.pads}"
                )
            result.append(room // s + 1)
        return tuple(result)


@dataclass(frozen=True)
class BinaryConvAttrs(_Geometry):
    """`BinaryConv`: scale * conv(bit(X), W) + bias. `channels` is C/group."""

    group: int
    channels: int
    low: float
    pad_mode: str
    pad_value: float

    op: ClassVar[str] = "BinaryConv"
    inputs: ClassVar[tuple[str, ...]] = ("X", "W", "threshold", "scale", "bias")

    def check(self) -> None:
        self._check_geometry(self.group, self.channels, self.low)
        if self.pad_mode not in PAD_MODES:
            raise DialectError(f"pad_mode must be one of {PAD_MODES}, got {self.pad_mode!r}")
        allowed = (-1.0, 0.0, 1.0) if self.low == -1.0 else (0.0, 1.0)
        if self.pad_value not in allowed:
            raise DialectError(f"pad_value must be one of {allowed} when low is {self.low}, got {self.pad_value}")

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial output size for a spatial input size.

        Raises:
            DialectError: another number of dimensions, or the kernel does not fit into the padded input.
        """
        return self._convolved(size)


@dataclass(frozen=True)
class LevelConvAttrs(_Geometry):
    """`LevelConv`: scale * conv(level(X), W) + bias with 2^bits levels. `channels` is C/group; padding is level 0."""

    group: int
    channels: int
    bits: int
    pad_mode: str

    op: ClassVar[str] = "LevelConv"
    inputs: ClassVar[tuple[str, ...]] = ("X", "W", "gain", "offset", "scale", "bias")

    def check(self) -> None:
        self._check_geometry(self.group, self.channels, 0.0)
        if self.pad_mode not in PAD_MODES:
            raise DialectError(f"pad_mode must be one of {PAD_MODES}, got {self.pad_mode!r}")
        _check_bits(self.bits, self.channels * self.taps)

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """As `BinaryConvAttrs.output_size`."""
        return self._convolved(size)


@dataclass(frozen=True)
class BinaryConvTransposeAttrs(_Geometry):
    """`BinaryConvTranspose`: the transposed convolution; `pads` are cropped, as in PyTorch. W in gather form."""

    output_padding: tuple[int, ...]
    group: int
    channels: int
    low: float

    op: ClassVar[str] = "BinaryConvTranspose"
    inputs: ClassVar[tuple[str, ...]] = ("X", "W", "threshold", "scale", "bias")

    def check(self) -> None:
        self._check_geometry(self.group, self.channels, self.low)
        if len(self.output_padding) != self.rank or min(self.output_padding) < 0:
            raise DialectError(f"output_padding must be {self.rank} integers >= 0, got {self.output_padding}")
        for extra, stride, dilation in zip(self.output_padding, self.strides, self.dilations, strict=True):
            if extra >= max(stride, dilation):
                raise DialectError(
                    f"output_padding {self.output_padding} must be smaller than the stride {self.strides} or the "
                    f"dilation {self.dilations}"
                )

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial output size for a spatial input size.

        Raises:
            DialectError: another number of dimensions, or nothing is left after cropping.
        """
        _check_rank(size, self.rank)
        result = tuple(
            (n - 1) * s + d * (k - 1) + 1 + extra - begin - end
            for n, k, s, d, begin, end, extra in zip(
                size,
                self.kernel_shape,
                self.strides,
                self.dilations,
                self.pad_begin,
                self.pad_end,
                self.output_padding,
                strict=True,
            )
        )
        if min(result) < 1:
            raise DialectError(f"the output of size {result} for the input {tuple(size)} is empty")
        return result


@dataclass(frozen=True)
class BinaryLinearAttrs(NodeAttrs):
    """`BinaryLinear`: scale * (bit(X) · W) + bias. `channels` is the number of input features."""

    channels: int
    low: float

    op: ClassVar[str] = "BinaryLinear"
    inputs: ClassVar[tuple[str, ...]] = ("X", "W", "threshold", "scale", "bias")

    def check(self) -> None:
        _check_channels(self.channels)
        _check_low(self.low)


@dataclass(frozen=True)
class LevelLinearAttrs(NodeAttrs):
    """`LevelLinear`: scale * (level(X) · W) + bias with 2^bits levels. `channels` is the number of input features."""

    channels: int
    bits: int

    op: ClassVar[str] = "LevelLinear"
    inputs: ClassVar[tuple[str, ...]] = ("X", "W", "gain", "offset", "scale", "bias")

    def check(self) -> None:
        _check_channels(self.channels)
        _check_bits(self.bits, self.channels)


@dataclass(frozen=True)
class BinaryEmbeddingAttrs(NodeAttrs):
    """`BinaryEmbedding`: scale[id] * (±1 row of W). `channels` is the length of a row."""

    channels: int

    op: ClassVar[str] = "BinaryEmbedding"
    inputs: ClassVar[tuple[str, ...]] = ("ids", "W", "scale")

    def check(self) -> None:
        _check_channels(self.channels)


@dataclass(frozen=True)
class BinarizeAttrs(NodeAttrs):
    """`Binarize`: 1 where X >= threshold, else `low` (NaN: `low`). The threshold runs along `axis` of X."""

    low: float
    axis: int

    op: ClassVar[str] = "Binarize"
    inputs: ClassVar[tuple[str, ...]] = ("X", "threshold")

    def check(self) -> None:
        _check_low(self.low)
        if self.axis == 0:
            raise DialectError("axis 0 is the batch; the threshold runs along another axis (1 for maps, -1 for tokens)")


@dataclass(frozen=True)
class UnpackWeightAttrs(NodeAttrs):
    """`UnpackWeight`: packed weights as a float ±1 tensor of shape `shape` (rows, channels, *kernel)."""

    shape: tuple[int, ...]

    op: ClassVar[str] = "UnpackWeight"
    inputs: ClassVar[tuple[str, ...]] = ("W",)

    def check(self) -> None:
        if len(self.shape) < 2 or min(self.shape) < 1:
            raise DialectError(f"shape must be (rows, channels, *kernel), all >= 1, got {self.shape}")


OPS: Mapping[str, type[NodeAttrs]] = {
    cls.op: cls
    for cls in (
        BinaryConvAttrs,
        BinaryConvTransposeAttrs,
        BinaryLinearAttrs,
        LevelConvAttrs,
        LevelLinearAttrs,
        BinaryEmbeddingAttrs,
        BinarizeAttrs,
        UnpackWeightAttrs,
    )
}
"""Operator name to its attributes' class."""


def read_node(node: Any) -> NodeAttrs:
    """The attributes of any node of the dialect (`onnx.NodeProto` or `onnx_ir.Node`).

    Raises:
        DialectError: the node is not of the dialect, or not valid.
    """
    if node.domain != DOMAIN or node.op_type not in OPS:
        raise DialectError(
            f"{node.domain}::{node.op_type} (node {node.name!r}) is no operator of the dialect; "
            f"{DOMAIN} has {sorted(OPS)}"
        )
    return OPS[node.op_type].from_node(node)


def _check_channels(channels: int) -> None:
    if channels < 1:
        raise DialectError(f"channels must be >= 1, got {channels}")


def _check_bits(bits: int, products: int) -> None:
    if not 1 <= bits <= 8:
        raise DialectError(f"bits must be 1 to 8, got {bits}")
    if products * ((1 << bits) - 1) > 1 << 24:
        raise DialectError(
            f"{products} products of {bits}-bit levels may exceed 2^24, beyond which float32 has no exact integers"
        )


def _check_low(low: float) -> None:
    if low not in (-1.0, 0.0):
        raise DialectError(f"low must be -1 (±1 activations) or 0 ({{0,1}} activations), got {low}")


def _check_rank(size: Sequence[int], rank: int) -> None:
    if len(size) != rank:
        raise DialectError(f"the kernel has {rank} dimensions, the input size {tuple(size)} has {len(size)}")


def _attribute_values(node: Any) -> dict[str, Any]:
    if hasattr(node, "attribute"):  # onnx.NodeProto
        import onnx

        return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {name: a.value for name, a in node.attributes.items()}


def _convert(name: str, value: Any, kind: str) -> Any:
    if isinstance(value, bytes):
        value = value.decode()
    if kind == "int" and isinstance(value, int):
        return value
    if kind == "float" and isinstance(value, float):
        return value
    if kind == "str" and isinstance(value, str):
        return value
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
    if kind.startswith("tuple") and is_sequence and all(isinstance(v, int) for v in value):
        return tuple(value)
    raise DialectError(f"attribute {name} must be {kind.replace('tuple[int, ...]', 'ints')}, got {value!r}")
