"""`inspect`: what a `.bwm` file holds, counted from its bytes. Needs no native module."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitwright.runtime.container import is_container

from . import bwm_format as f
from .bwm_read import read
from .costs import macs, parameter_bytes, precision, weight_bits, weight_bytes
from .program import BConv, BPool, Copy, FConv, Op, Pool, Program, QConv, Value, out_dims
from .quantization_text import text as quantization_text
from .tables import dims, size, table


@dataclass(frozen=True)
class Layer:
    """One op."""

    index: int
    name: str
    kind: str
    module: str  # path of the PyTorch module, "" if unknown
    precision: str  # "binary", "binary, real in", "float", "int8" or "-"
    input: tuple[int, ...]  # D, H, W, C
    output: tuple[int, ...]
    detail: str  # kernel, stride, groups ... of a convolution or pooling
    steps: tuple[str, ...]
    results: tuple[str, ...]  # "f32", "u8" and "bits" in the order of the values written
    binary_macs: int
    float_macs: int
    weight_bytes: int
    parameter_bytes: int
    kernel: str  # the kernel that would run here, "?" without the native module
    int8_macs: int = 0


@dataclass(frozen=True)
class NodePlace:
    """Where a node of the source model runs."""

    name: str
    op: str  # "" if the file does not say
    place: str  # "native", "onnxruntime", or "folded": computed at compile time
    by: str  # the op and its kernel, or the part
    why: str


@dataclass(frozen=True)
class PartInspection:
    """A part of a file that runs partly in onnxruntime."""

    kind: str  # "native" or "onnxruntime"
    nodes: int
    file_bytes: int
    copies: int  # tensors that other parts hand over to it
    copied_bytes: int | None  # of one sample; None if a size is known only at run time


@dataclass(frozen=True)
class Tensor:
    """A model input or output."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found."""

    path: str
    name: str
    version: str
    producer: str
    source: str
    file_bytes: int
    bytes_by_kind: dict[str, int]  # sums to file_bytes
    arena_bytes: int  # activations of one sample
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    binary_macs: int
    float_macs: int
    binary_weights: int  # bits that carry a weight
    int8_macs: int = 0
    quantization: dict[str, Any] | None = None  # what the compiler wrote about int8 layers and an int16 residual
    nodes: tuple[NodePlace, ...] = ()  # of the source model, in its order
    parts: tuple[PartInspection, ...] = ()  # empty for a file that runs natively as a whole

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [
            [
                str(x.index),
                x.module or x.name,
                x.kind,
                x.precision,
                f"{dims(x.input)} -> {dims(x.output)}",
                x.detail,
                " ".join(x.steps).lower(),
                "+".join(x.results),
                size(x.binary_macs),
                size(x.float_macs),
                *([size(x.int8_macs)] if self.int8_macs else []),
                size(x.weight_bytes + x.parameter_bytes),
                x.kernel,
            ]
            for x in self.layers
        ]
        columns = [">#", "layer", "op", "weights", "shape (..HWC)", "window", "epilogue", "writes"]
        columns += [">binary MACs", ">float MACs", *([">int8 MACs"] if self.int8_macs else []), ">bytes", "kernel"]
        int8 = f" {self.int8_macs:,} int8 MACs," if self.int8_macs else ""
        kinds = [[k, f"{n:,}", f"{100 * n / self.file_bytes:.1f} %"] for k, n in self.bytes_by_kind.items()]
        kinds.append(["file", f"{self.file_bytes:,}", "100 %"])
        ends = [f"  {role} {t.name}: {t.dtype} {list(t.shape)}" for role, ts in self._ends() for t in ts]
        return "\n".join(
            [
                f"{self.path}: {self.name}, .bwm {self.version}, written by {self.producer} from {self.source}",
                *ends,
                f"  {self.binary_macs:,} binary MACs, {self.float_macs:,} float MACs,{int8} "
                f"{self.arena_bytes:,} bytes of activations a sample",
                table("Layers", columns, rows),
                table("Bytes on disk", ["kind", ">bytes", ">share"], kinds),
                *([] if self.quantization is None else [quantization_text(self.quantization)]),
                *self._places(),
            ]
        )

    def _places(self) -> list[str]:
        """Where the nodes run: a line for a native file, tables for one with parts for onnxruntime."""
        if not self.parts:
            return [f"All nodes run natively ({len(self.nodes)} computed by the ops above)."]
        rows = [
            [str(i), p.kind, str(p.nodes), f"{p.file_bytes:,}", size(p.copies), copied(p.copied_bytes)]
            for i, p in enumerate(self.parts)
        ]
        columns = [">#", "runs in", ">nodes", ">bytes", ">copied in", ">bytes a sample"]
        nodes = [[n.name, n.op, n.place, n.by, n.why] for n in self.nodes]
        return [
            table("Parts, in the order in which they run", columns, rows),
            table("Nodes", ["node", "operator", "runs in", "by", "why"], nodes),
        ]

    def _ends(self) -> tuple[tuple[str, tuple[Tensor, ...]], ...]:
        return (("input", self.inputs), ("output", self.outputs))

    def print(self) -> None:
        """Prints the tables."""
        print(str(self))


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Reads a `.bwm` file.

    Raises FileNotFoundError, or `BwmFormatError` when the file is damaged or newer.
    """
    if is_container(path):
        from .partition.inspection import inspect_parts

        return inspect_parts(path)
    data = Path(path).read_bytes()
    program = read(data)
    kernels = kernels_of(path, len(program.ops))
    layers = tuple(layer_of(i, op, kernels[i]) for i, op in enumerate(program.ops))
    return Inspection(
        path=os.fspath(path),
        name=str(program.meta.get("name", "")),
        version=".".join(map(str, struct.unpack_from("<HH", data, 8))),
        **origin(program.meta),
        file_bytes=len(data),
        bytes_by_kind=bytes_by_kind(data, program),
        arena_bytes=max(v.offset + v.bytes for v in program.values()),
        inputs=tuple(_tensor(v) for v in program.inputs),
        outputs=tuple(_tensor(v) for v in program.outputs),
        layers=layers,
        binary_macs=sum(x.binary_macs for x in layers),
        float_macs=sum(x.float_macs for x in layers),
        binary_weights=sum(weight_bits(op) for op in program.ops),
        int8_macs=sum(x.int8_macs for x in layers),
        quantization=program.meta.get("quantization"),
        nodes=tuple(NodePlace(name, "", "native", by, "") for name, by in computed_by(program, layers).items()),
    )


def origin(meta: dict[str, Any]) -> dict[str, Any]:
    """Who wrote a file, and from what."""
    source, producer = meta.get("source"), meta.get("producer")
    return {
        "producer": " ".join(str(v) for v in producer.values()) if isinstance(producer, dict) else "?",
        "source": str(source.get("file", "?")) if isinstance(source, dict) else "?",
    }


def computed_by(program: Program, layers: Sequence[Layer]) -> dict[str, str]:
    """Name of each node that an op computes -> the last such op, with its kernel."""
    found: dict[str, str] = {}
    entries = program.meta.get("ops")
    for layer, entry in zip(layers, entries if isinstance(entries, list) else [], strict=False):
        names = entry.get("nodes") if isinstance(entry, dict) else None
        for name in names if isinstance(names, list) else []:
            found[str(name)] = f"{layer.kind} {layer.index}, {layer.kernel}" if layer.kernel else layer.kind
    return found


def copied(n: int | None) -> str:
    """Bytes that a part takes from others; "?" if known only at run time."""
    return "?" if n is None else size(n)


def _tensor(v: Value) -> Tensor:
    return Tensor(v.name, v.dtype.name.lower(), ("N", *v.external_shape))


def layer_of(index: int, op: Op, kernel: str) -> Layer:
    cost = macs(op)
    return Layer(
        index=index,
        name=op.name,
        kind=type(op).__name__,
        module=op.module,
        precision=precision(op),
        input=op.inp.dims,
        output=out_dims(op),
        detail=_detail(op),
        steps=tuple(s.kind.name for s in op.steps if not s.stores or s.kind.name == "THRESHOLD"),
        results=tuple(v.dtype.name.lower() for v in op.writes()),
        binary_macs=cost.binary,
        float_macs=cost.floating,
        weight_bytes=weight_bytes(op),
        parameter_bytes=parameter_bytes(op),
        kernel=kernel,
        int8_macs=cost.int8,
    )


def _detail(op: Op) -> str:
    if isinstance(op, Copy):
        if op.one_pixel:
            return f"to pixel {op.dst_channel // op.dst.channels}"
        return f"to channel {op.dst_channel}" + (f", step {dims(op.step)}" if max(op.step) > 1 else "")
    if not isinstance(op, (BConv, FConv, QConv, Pool, BPool)):
        return ""
    g = op.geometry
    first = 0 if op.inp.dims[0] > 1 else 1 if op.inp.dims[1] > 1 or g.kernel[1] > 1 else 2
    text = "x".join(str(k) for k in g.kernel[first:])
    for label, values, usual in (("/", g.stride, 1), (" dil ", g.dilation, 1), (" pad ", g.pad_begin, 0)):
        part = values[first:]
        if any(v != usual for v in part):
            text += label + (str(part[0]) if len(set(part)) == 1 else "x".join(str(v) for v in part))
    if g.groups > 1:
        text += f" groups {g.groups}"
    if g.pad_mode:
        text += f" {g.pad_mode.name.lower()}"
    if isinstance(op, BConv) and op.low:
        text += " {0,1}"
    return text + (" transposed" if g.transposed else "")


def bytes_by_kind(data: bytes, program: Program) -> dict[str, int]:
    """Every byte of the file, by what it is for. Shared constants count once, for their first user."""

    kinds = {"binary weights": 0, "float weights": 0, "thresholds, scales, biases": 0}
    seen: set[int] = set()
    for op in program.ops:
        for const, kind in _constants(op):
            at = const.__array_interface__["data"][0]
            if at not in seen:
                seen.add(at)
                kinds[kind] = kinds.get(kind, 0) + const.nbytes
    for label, name in (
        ("value table", "VALUES"),
        ("op table", "OPS"),
        ("constant table", "CONSTANTS"),
        ("names, JSON", "META"),
    ):
        kinds[label] = _section(data, name)[2]
    kinds["header, alignment"] = len(data) - sum(kinds.values())
    return kinds


def _constants(op: Op) -> list[tuple[Any, str]]:
    found = []
    if weight_bytes(op):
        kind = "binary weights" if weight_bits(op) else "int8 weights" if isinstance(op, QConv) else "float weights"
        found.append((op.weight.data, kind))  # type: ignore[attr-defined]
    for s in op.steps:
        found += [(c.data, "thresholds, scales, biases") for c in (s.a, s.b) if c is not None]
    for name in ("scale", "flip", "padding"):
        const = getattr(op, name, None)
        if const is not None:
            found.append((const.data, "thresholds, scales, biases"))
    return found


def _section(data: bytes, name: str) -> tuple[int, int, int]:
    _, count, offset, length, _ = f.SECTION.unpack_from(data, 64 + 32 * f.SECTIONS.index(name))
    return count, offset, length


def kernels_of(path: str | os.PathLike[str], count: int) -> list[str]:
    """The kernel of each op on this machine, as the engine says; "?" where the native module is not built."""
    try:
        from bitwright.runtime import Session

        ops = Session(path).ops()
    except (ImportError, AttributeError):
        return ["?"] * count
    return [str(o["kernel"]) if isinstance(o, dict) else str(o.kernel) for o in ops]
