"""The program that a `.bwm` file holds, as plain dataclasses. `docs/bwm.md` gives the meaning of every field.

The passes rewrite a `Program` in place; the writer turns it into bytes and the reader gives it back. Dimensions are
always
(D, H, W) for space and (D, H, W, C) for a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Dims3 = tuple[int, int, int]
Dims4 = tuple[int, int, int, int]
FloatArray = npt.NDArray[np.float32]


class DType(IntEnum):
    """Type of a value."""

    F32 = 1
    BITS = 2
    I32 = 3
    U8 = 4
    I16 = 5


class StepKind(IntEnum):
    """Kind of an epilogue step."""

    THRESHOLD = 1
    AFFINE = 2
    ADD = 3
    PRELU = 4
    CLAMP = 5
    STORE = 6
    STORE_BITS = 7
    UNARY = 8
    MUL = 9
    STORE_U8 = 10
    STORE_LEVELS = 11
    FIXED = 12
    ADD_I16 = 13
    PRELU_I16 = 14
    BIAS_I16 = 15
    CLAMP_I16 = 16
    STORE_I16 = 17
    STORE_BITS_I16 = 18
    QUANTIZE_I16 = 19


class UnaryFn(IntEnum):
    """Function of a UNARY step."""

    ABS = 1
    SIGMOID = 2
    TANH = 3
    EXP = 4
    SQRT = 5
    NEGATE = 6
    HARDSIGMOID = 7
    ERF = 8
    GELU = 9


class PadMode(IntEnum):
    """What a tap in the padding reads."""

    ZERO = 0
    ONE = 1
    MINUS_ONE = 2
    EDGE = 3


class PoolKind(IntEnum):
    """Reduction of a pooling window."""

    MAX = 1
    AVERAGE_VALID = 2
    AVERAGE_PADDED = 3


BIT_STORES = (StepKind.STORE_BITS, StepKind.STORE_LEVELS, StepKind.THRESHOLD, StepKind.STORE_BITS_I16)
STORES = (*BIT_STORES, StepKind.STORE, StepKind.STORE_U8, StepKind.STORE_I16)
READS = (StepKind.ADD, StepKind.MUL, StepKind.ADD_I16)
FIXED_STEPS = tuple(k for k in StepKind if StepKind.FIXED <= k <= StepKind.QUANTIZE_I16)


@dataclass(frozen=True)
class Meaning:
    """Which tensor of the source model a value stands for, for `verify`.

    `array[N, D, H, W, C] = tensor.reshape(N, *split).transpose(0, *perm + 1).reshape(N, D, H, W, C)`; a bits value
    is then `(array >= threshold) xor flip`, or, of several planes, `clip(rint(array * gain + offset), 0, 2^planes - 1)`
    with `gain` and `offset` as `threshold`; with `threshold` a float32 array of 1 or C elements and `flip` as many
    bools (None: no flip).
    """

    tensor: str
    split: tuple[int, ...]
    perm: tuple[int, ...]
    threshold: FloatArray | None = None
    flip: npt.NDArray[np.bool_] | None = None
    gain: FloatArray | None = None
    offset: FloatArray | None = None


@dataclass(eq=False)
class Value:
    """An activation tensor, one sample of it."""

    dtype: DType
    dims: Dims4
    groups: int = 1
    name: str = ""
    is_input: bool = False
    is_output: bool = False
    external_axes: tuple[int, ...] = ()
    offset: int = 0
    meaning: Meaning | None = None
    scale: float = 0.0  # u8, i16: an element q stands for (q - zero) * scale
    planes: int = 1  # bits: an element is a level of so many bits
    zero: int = 0  # u8

    @property
    def quantized(self) -> bool:
        """Whether its elements are integers that stand for `(q - zero) * scale`."""
        return self.dtype in (DType.U8, DType.I16)

    @property
    def channels(self) -> int:
        return self.dims[3]

    @property
    def spatial(self) -> Dims3:
        return self.dims[:3]

    @property
    def pixels(self) -> int:
        d, h, w, _ = self.dims
        return d * h * w

    @property
    def words(self) -> int:
        """32-bit words of one pixel of one group (bits only)."""
        return (self.dims[3] // self.groups + 31) // 32

    @property
    def payload(self) -> int:
        """Bytes of one sample before rounding."""
        if self.dtype is DType.BITS:
            return (self.pixels + 1) * self.planes * self.groups * self.words * 4
        if self.dtype is DType.U8:  # a padding pixel, and room that kernels read
            return (self.pixels + 1) * self.channels + 64
        return self.pixels * self.channels * (2 if self.dtype is DType.I16 else 4)

    @property
    def bytes(self) -> int:
        """Bytes of one sample in the arena, a multiple of 64."""
        return -(-self.payload // 64) * 64

    @property
    def external_shape(self) -> tuple[int, ...]:
        """Shape without the batch, as the user sees it."""
        return tuple(self.dims[a - 1] for a in self.external_axes)


@dataclass(eq=False)
class Const:
    """Data stored in the file: float32, uint32, int32 or int8, flat."""

    data: npt.NDArray[Any]

    def __post_init__(self) -> None:
        if self.data.dtype not in (np.float32, np.uint32, np.int32, np.int8):
            raise TypeError(f"a constant is float32, uint32, int32 or int8, not {self.data.dtype}")
        self.data = np.ascontiguousarray(self.data).reshape(-1)


@dataclass(eq=False)
class Step:
    """One step of an epilogue."""

    kind: StepKind
    value: Value | None = None
    a: Const | None = None
    b: Const | None = None
    p0: float = 0.0
    p1: float = 0.0
    n: int = 0

    @property
    def stores(self) -> bool:
        return self.kind in STORES

    @property
    def reads(self) -> bool:
        return self.kind in READS

    @property
    def stores_bits(self) -> bool:
        return self.kind in BIT_STORES

    @property
    def fixed(self) -> bool:
        """Whether the step computes on 16-bit fixed-point numbers."""
        return self.kind in FIXED_STEPS


@dataclass(frozen=True)
class Geometry:
    """Window of a convolution or pooling, in the order D, H, W."""

    kernel: Dims3 = (1, 1, 1)
    stride: Dims3 = (1, 1, 1)
    dilation: Dims3 = (1, 1, 1)
    pad_begin: Dims3 = (0, 0, 0)
    pad_end: Dims3 = (0, 0, 0)
    groups: int = 1
    pad_mode: PadMode = PadMode.ZERO
    transposed: bool = False

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1] * self.kernel[2]

    def extent(self, i: int) -> int:
        return self.dilation[i] * (self.kernel[i] - 1) + 1

    def out(self, size: Dims3) -> Dims3:
        """Output size of a plain convolution or of pooling with floor; an entry below 1 means that nothing fits."""
        o = [(size[i] + self.pad_begin[i] + self.pad_end[i] - self.extent(i)) // self.stride[i] + 1 for i in range(3)]
        return (o[0], o[1], o[2])


@dataclass(eq=False)
class Op:
    """Base of the operations: reads `inp`, runs `steps` on each element."""

    name: str
    inp: Value
    steps: list[Step] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    module: str = ""

    def reads(self) -> Iterator[Value]:
        """Every value that the op reads."""
        yield self.inp
        for s in self.steps:
            if s.reads and s.value is not None:
                yield s.value

    def writes(self) -> Iterator[Value]:
        """Every value that the op writes."""
        for s in self.steps:
            if s.stores and s.value is not None:
                yield s.value


@dataclass(eq=False)
class BConv(Op):
    """Binary convolution; weight `[O][taps][words]` u32, or `[O/C][taps][words]` of a depthwise one."""

    weight: Const = None  # type: ignore[assignment]
    out_channels: int = 0
    low: int = 0
    out: Dims3 = (1, 1, 1)
    geometry: Geometry = Geometry()

    @property
    def depthwise(self) -> bool:
        """Whether every channel is a group of its own while the input's bits are packed as one group."""
        return self.geometry.groups > 1 and self.inp.groups == 1 and self.inp.planes == 1

    @property
    def in_place(self) -> tuple[Value, Value] | None:
        """A value that the op adds and one alike that it stores behind that, element by element: if nobody reads the
        first one later, both may have the same place. Not with fewer than 64 channels: such maps are small, and a
        ResNet-20 of 16 to 64 channels took 140 us in place and 104 apart (AVX-512, Zen 5; other kernels the same): a
        masked store holds up the next pixel's loads from where it stores nothing."""
        for k, s in enumerate(self.steps):
            old = s.value
            if s.kind not in (StepKind.ADD, StepKind.ADD_I16) or old is None or old.is_input or old.is_output:
                continue
            if old.dims[3] < 64 or sum(v is old for v in self.reads()) > 1:
                continue
            for later in self.steps[k + 1 :]:
                new = later.value
                if later.kind not in (StepKind.STORE, StepKind.STORE_I16) or new is None or new.is_output:
                    continue
                if (new.dtype, new.dims) == (old.dtype, old.dims):
                    return old, new
        return None


@dataclass(eq=False)
class FConv(Op):
    """Float convolution; weight `[O][taps][C/groups]` f32, or `[O][taps][words]` u32 where it is ±1 everywhere."""

    weight: Const = None  # type: ignore[assignment]
    out_channels: int = 0
    out: Dims3 = (1, 1, 1)
    geometry: Geometry = Geometry()

    @property
    def packed(self) -> bool:
        """Whether the weight is stored as bits."""
        return self.weight.data.dtype == np.uint32


@dataclass(eq=False)
class QConv(Op):
    """int8 convolution of a u8 value; weight `[O][taps][C/groups]` i8. The steps see the exact integer accumulator
    `sum (q - zero) * w` as a float: an AFFINE brings the scales in. A tap in the padding adds 0, or its element of
    `padding` `[taps][O]` i32."""

    weight: Const = None  # type: ignore[assignment]
    out_channels: int = 0
    out: Dims3 = (1, 1, 1)
    geometry: Geometry = Geometry()
    padding: Const | None = None


@dataclass(eq=False)
class BPool(Op):
    """Max pooling of bits, then flips (u32 words); writes `dst`. No steps."""

    dst: Value = None  # type: ignore[assignment]
    flip: Const | None = None
    geometry: Geometry = Geometry()

    def writes(self) -> Iterator[Value]:
        yield self.dst


@dataclass(eq=False)
class Pool(Op):
    """Pooling."""

    kind: PoolKind = PoolKind.MAX
    out: Dims3 = (1, 1, 1)
    geometry: Geometry = Geometry()


@dataclass(eq=False)
class Map(Op):
    """Elementwise steps on a value."""


@dataclass(eq=False)
class Copy(Op):
    """Copies a box of `inp` into channels of `dst`.

    A box of one pixel may go into any pixel of a `dst` of several (`one_pixel`): `dst_channel` is then
    `pixel * channels + channel`.
    """

    dst: Value = None  # type: ignore[assignment]
    start: Dims4 = (0, 0, 0, 0)
    step: Dims4 = (1, 1, 1, 1)
    count: Dims4 = (1, 1, 1, 1)
    dst_channel: int = 0
    zero_rest: bool = False

    @property
    def one_pixel(self) -> bool:
        """Whether the box is one pixel of several."""
        return self.count[:3] == (1, 1, 1) and self.dst.pixels > 1 and not self.zero_rest

    def writes(self) -> Iterator[Value]:
        yield self.dst


@dataclass(eq=False)
class Embed(Op):
    """Rows of a ±1 table; weight `[V][words]` u32, optional scale `[V]`."""

    weight: Const = None  # type: ignore[assignment]
    rows: int = 0
    out_channels: int = 0
    scale: Const | None = None


@dataclass(eq=False)
class Program:
    """A whole network: its ops in execution order, its inputs and outputs."""

    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    file_values: list[Value] = field(default_factory=list)  # of a program read from a file: its values by id

    @property
    def minor_version(self) -> int:
        """Minor version of the `.bwm` format that the program needs: 0 unless it uses something newer."""
        new_value = any(v.quantized or v.planes > 1 for v in self.values())
        new_step = any(s.kind > StepKind.MUL for op in self.ops for s in op.steps)
        new_op = any(
            isinstance(op, QConv) or (isinstance(op, BConv) and op.depthwise) or (isinstance(op, Copy) and op.one_pixel)
            for op in self.ops
        )
        in_place = any(
            isinstance(op, BConv) and op.in_place is not None and op.in_place[0].offset == op.in_place[1].offset
            for op in self.ops
        )
        return int(new_value or new_step or new_op or in_place)

    def values(self) -> list[Value]:
        """Every value: inputs and outputs first, then in the order in which the ops write them. The index is the
        value's id, and the ids give the order of a file's inputs and outputs."""
        if self.file_values:
            return self.file_values
        seen: dict[int, Value] = {id(v): v for v in (*self.inputs, *self.outputs)}
        for op in self.ops:
            for v in op.writes():
                seen.setdefault(id(v), v)
        return list(seen.values())

    def producers(self) -> dict[int, int]:
        """id(value) -> index of the first op that writes it."""
        found: dict[int, int] = {}
        for i, op in enumerate(self.ops):
            for v in op.writes():
                found.setdefault(id(v), i)
        return found

    def read_counts(self) -> dict[int, int]:
        """id(value) -> how many times ops read it; outputs of the model count as one more."""
        n: dict[int, int] = {}
        for op in self.ops:
            for v in op.reads():
                n[id(v)] = n.get(id(v), 0) + 1
        for v in self.outputs:
            n[id(v)] = n.get(id(v), 0) + 1
        return n


def out_dims(op: Op) -> Dims4:
    """Dimensions (D, H, W, C) of the elements that the op's steps see."""
    if isinstance(op, (BConv, FConv, QConv)):
        return (*op.out, op.out_channels)
    if isinstance(op, Pool):
        return (*op.out, op.inp.channels)
    if isinstance(op, Embed):
        return (*op.inp.spatial, op.out_channels)
    if isinstance(op, (Copy, BPool)):
        return op.dst.dims
    return op.inp.dims
