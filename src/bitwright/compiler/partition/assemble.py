"""Compiles the parts of a model and writes them into one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

import bitwright
from bitwright.files import write_atomically
from bitwright.runtime.container import DTYPES, Container
from bitwright.runtime.errors import ModelError
from bitwright.runtime.onnx_part import OnnxPart

from ..bwm_read import read
from ..errors import CompileError
from ..graph import DIALECT, Graph
from ..program import Program
from ..samples import Inputs
from .classify import FOLDED, NATIVE, ORT
from .container import encode_container
from .cut import Part
from .plan import Partition, partition
from .report import PartitionReport, PartReport, reasons_of
from .types import BATCH, Types, dtype_of, shape_of

if TYPE_CHECKING:
    from ..compilation import CompileReport, Options

# Operators that turn a float into a decision: in front of them floats must be those that the exporter meant, so
# onnxruntime's rewriting of float expressions is off in their part.
_DECIDE = {
    "Sign", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Round", "Floor", "Ceil", "ArgMax", "ArgMin",
    "TopK", "NonMaxSuppression", "Trunc", "Mod", "NonZero", "QuantizeLinear", "DynamicQuantizeLinear",
}  # fmt: skip


def compile_parts(
    graph: Graph,
    target: Path,
    label: str,
    options: Options,
    calibration: Inputs | None,
    evaluation: Inputs | None,
    labels: Any,
) -> CompileReport:
    """`compile` for a model that the engine cannot run alone."""
    from ..compilation import CompileReport

    cut = partition(graph)
    made = _Assembly(cut, label, options, calibration, evaluation, labels)
    for part in cut.parts:
        made.add(part)
    manifest = made.manifest()
    data = encode_container(manifest, made.contents)
    Container(memoryview(data))  # the file that leaves here passes the reader's checks
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    nodes = [node for part in manifest["parts"] for node in part["nodes"]]
    places = {place: cut.place.count(place) for place in (NATIVE, ORT, FOLDED)}
    summary = PartitionReport(tuple(made.reports), places, reasons_of(nodes))
    return CompileReport.of(target, label, len(data), len(graph.nodes), made.programs, made.quantization, summary)


class _Assembly:
    def __init__(
        self,
        cut: Partition,
        label: str,
        options: Options,
        calibration: Inputs | None,
        evaluation: Inputs | None,
        labels: Any,
    ) -> None:
        self.cut, self.label, self.options = cut, label, options
        self.types: Types = dict(cut.classes.types)
        self.contents: list[tuple[str, bytes]] = []
        self.parts: list[dict[str, Any]] = []
        self.reports: list[PartReport] = []
        self.programs: list[Program] = []
        self.quantization = None
        if options.quantizes or options.uint8_input:
            raise CompileError("quantization of models with parts for onnxruntime: not yet")

    def add(self, part: Part) -> None:
        """Compiles the next part."""
        facts: dict[str, Any] = {"kind": part.place, "inputs": part.inputs, "outputs": part.outputs}
        if part.place == NATIVE:
            data, ops = self._native(part, facts)
        else:
            data, ops = self._onnx(part, facts), 0
        facts["nodes"] = [self._node(i) for i in part.nodes]
        self.parts.append(facts)
        self.contents.append((part.place, data))
        made = {name for earlier in self.parts[:-1] for name in earlier["outputs"]}
        copied = [name for name in facts["inputs"] if name in made]
        sizes = [self._bytes(name) for name in copied]
        total = None if None in sizes else sum(n for n in sizes if n is not None)
        self.reports.append(PartReport(part.place, len(part.nodes), ops, len(data), len(copied), total))

    def _native(self, part: Part, facts: dict[str, Any]) -> tuple[bytes, int]:
        from ..compilation import finish, rewrite

        assert part.graph is not None
        assert part.program is not None
        pixels = rewrite(part.program, self.options, part.graph)
        data, _ = finish(part.program, part.graph, self.label, self.options, pixels, None)
        stored = read(data)
        facts["inputs"] = [v.name for v in stored.inputs]
        facts["outputs"] = [v.name for v in stored.outputs]
        self.programs.append(part.program)
        return data, len(stored.ops)

    def _onnx(self, part: Part, facts: dict[str, Any]) -> bytes:
        """The bytes of a part's model, once onnxruntime has taken it."""
        assert part.model is not None
        for info in part.model.graph.input:
            if not info.HasField("type"):
                info.type.CopyFrom(self.types[info.name])
        facts["optimize"] = not any(_decides(node) for node in part.model.graph.node)
        data = part.model.SerializeToString(deterministic=True)
        try:
            runner = OnnxPart(data, f"part {len(self.parts)}", optimize=facts["optimize"])
        except ModelError as error:
            problems = reasons_of([self._node(i) for i in part.nodes])
            listed = "".join(f"\n  - {op}: {why}" for op, why, _ in problems[:20])
            raise CompileError(f"{error}. The engine cannot run these operators either:{listed}") from error
        for name, (kind, shape) in runner.types().items():
            if name not in self.types or not dtype_of(self.types[name]) or shape_of(self.types[name]) is None:
                self.types[name] = _as_type(kind, shape)
        facts["inputs"], facts["outputs"] = runner.inputs, runner.outputs
        return data

    def _node(self, index: int) -> dict[str, str]:
        node = self.cut.graph.nodes[index]
        return {"name": node.name, "op": node.title, "place": self.cut.place[index], "why": self.cut.why[index]}

    def _bytes(self, name: str) -> int | None:
        """Of one sample."""
        found = self.types.get(name)
        shape = shape_of(found)
        kind = _numpy_name(dtype_of(found))
        rest = (shape or ())[1:]
        if shape is None or kind in ("", "str") or not all(isinstance(n, int) for n in rest):
            return None
        return int(np.prod([n for n in rest if isinstance(n, int)], dtype=np.int64)) * np.dtype(kind).itemsize

    def manifest(self) -> dict[str, Any]:
        """The JSON that says how the parts fit together."""
        graph = self.cut.graph
        inputs = [given.name for given in graph.inputs]
        names = dict.fromkeys([*inputs, *graph.outputs])
        for part in self.parts:
            names.update(dict.fromkeys([*part["inputs"], *part["outputs"]]))
        folded = [self._node(i) for i, place in enumerate(self.cut.place) if place == FOLDED]
        return {
            "format": 1,
            "name": self.label,
            "producer": {"name": "bitwright", "version": bitwright.__version__},
            "source": {"file": graph.source, "sha256": graph.sha256, "opsets": graph.opsets},
            "metadata": graph.metadata,
            "inputs": inputs,
            "outputs": graph.outputs,
            "tensors": {name: self._tensor(name) for name in names},
            "parts": self.parts,
            "folded": folded,
        }

    def _tensor(self, name: str) -> dict[str, Any]:
        found = self.types.get(name)
        if found is not None and not found.HasField("tensor_type"):
            return {"type": str(found.WhichOneof("value"))}
        kind = _numpy_name(dtype_of(found))
        if kind not in DTYPES:
            raise CompileError(
                f"tensor {name!r} is {dtype_of(found) or 'of an unknown type'} and crosses the boundary of a part (or "
                f"of the model); possible are {', '.join(DTYPES)}. Cast it to one of them in the model"
            )
        shape = shape_of(found)
        if shape is None:
            return {"dtype": kind, "shape": None}
        return {"dtype": kind, "shape": [self._batch_name(n) if i == 0 else n for i, n in enumerate(shape)]}

    def _batch_name(self, size: int | str | None) -> int | str | None:
        """The batch axis is called N, whatever the exporter called it."""
        first = shape_of(self.cut.classes.types.get(self.cut.graph.inputs[0].name))
        return BATCH if first and isinstance(first[0], str) and size == first[0] else size


def _decides(node: onnx.NodeProto) -> bool:
    return (
        node.op_type in _DECIDE
        or node.domain == DIALECT
        or any(_decides(inner) for a in node.attribute for g in (a.g, *a.graphs) for inner in g.node)
    )


def _numpy_name(dtype: str) -> str:
    if dtype == "STRING":
        return "str"
    try:
        return str(np.dtype(helper.tensor_dtype_to_np_dtype(onnx.TensorProto.DataType.Value(dtype))).name)
    except (KeyError, ValueError, TypeError):
        return ""


_ORT_NAMES = {"float": "FLOAT", "double": "DOUBLE", "float16": "FLOAT16", "bfloat16": "BFLOAT16"}


def _as_type(kind: str, shape: list[Any]) -> onnx.TypeProto:
    """onnxruntime's "tensor(float)" as a type. Of sequences and maps only the kind is kept."""
    found = re.fullmatch(r"tensor\((\w+)\)", kind)
    if found:
        name = _ORT_NAMES.get(found[1], found[1].upper())
        # onnxruntime gives [] for scalars and for tensors of unknown rank alike
        return helper.make_tensor_type_proto(onnx.TensorProto.DataType.Value(name), shape or None)
    proto = onnx.TypeProto()
    proto.sequence_type.SetInParent()
    return proto


__all__ = ["compile_parts"]
