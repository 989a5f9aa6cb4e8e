"""Compiles the parts of a model and writes them into one file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

import bitwright
from bitwright.files import write_atomically
from bitwright.runtime import Session
from bitwright.runtime.container import DTYPES, Container
from bitwright.runtime.errors import ModelError
from bitwright.runtime.onnx_part import OnnxPart

from ..bwm_read import read
from ..errors import CompileError
from ..graph import DIALECT, Graph
from ..lower import lower
from ..pixels import Pixels
from ..program import Program
from ..quantization import QuantizationReport
from ..samples import Inputs
from .calibrated import Flow, Run
from .classify import FOLDED, NATIVE, ORT
from .container import encode_container
from .cut import Part
from .plan import PERMUTED, Partition, partition
from .report import PartitionReport, PartReport, reasons_of
from .types import BATCH, Types, dtype_of, shape_of, tensor_type

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
    quantization = None if made.flow is None else made.quantization()
    places = {place: cut.place.count(place) for place in (NATIVE, ORT, FOLDED)}
    summary = PartitionReport(tuple(made.reports), places, reasons_of(nodes))
    return CompileReport.of(target, label, len(data), len(graph.nodes), made.programs, quantization, summary)


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
        self.pixels: Pixels | None = None
        self.flow = Flow(cut.graph, calibration, evaluation, labels) if options.quantizes else None
        natives = [part for part in cut.parts if part.place == NATIVE]
        if (options.quantizes or not options.optimize) and not natives:
            raise CompileError(
                "every node runs in onnxruntime, so there is nothing to quantize or to leave unfused: compile without "
                "float_layers, residual and optimize (--float-layers, --residual)"
            )
        self.pixels_in = self._pixel_part() if options.uint8_input else None

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
        graph = replace(part.graph, metadata=self.cut.graph.metadata if part is self.pixels_in else {})
        options = replace(self.options, uint8_input=part is self.pixels_in)
        options.pixels = self.options.pixels if part is self.pixels_in else None
        pixels = rewrite(part.program, options, graph)
        if pixels is not None:
            self.pixels = pixels
            name = part.inputs[0]
            self.types[name] = tensor_type(onnx.TensorProto.UINT8, shape_of(self.types[name]) or ())
        samples = None if self.flow is None else self.flow.of(part.program)
        data, report = finish(part.program, part.graph, self.label, options, pixels, samples)
        stored = read(data)
        if self.flow is not None and report is not None:
            self.flow.reports.append(report)
            plain = lower(part.graph, permuted=PERMUTED)
            fp32 = replace(options, float_layers="fp32", residual="fp32")
            first, _ = finish(plain, part.graph, self.label, fp32, rewrite(plain, fp32, graph), None)
            names = [v.name for v in stored.inputs], [v.name for v in stored.outputs]
            self.flow.through(*names, _native_run(first), _native_run(data))
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
        if self.flow is not None:
            self.flow.through(runner.inputs, runner.outputs, runner.run, runner.run)
        return data

    def _pixel_part(self) -> Part:
        """The native part that takes the model's only input: the one that can take pixels instead."""
        inputs = [given.name for given in self.cut.graph.inputs]
        readers = [part for part in self.cut.parts if set(inputs) & set(part.inputs)]
        if len(inputs) == 1 and len(readers) == 1 and readers[0].place == NATIVE and readers[0].inputs == inputs:
            return readers[0]
        where = ", ".join(sorted({part.place for part in readers}))
        raise CompileError(
            f"uint8 input: pixels are possible where one native part takes the model's only input; the inputs {inputs} "
            f"are taken by {len(readers)} parts ({where}). Compile without uint8_input and normalise outside"
        )

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
            **({} if self.pixels is None else {"pixels": self.pixels.to_dict()}),
            **({} if self.flow is None else {"quantization": self.quantization().to_dict()}),
        }

    def quantization(self) -> QuantizationReport:
        """Of the whole model."""
        assert self.flow is not None
        return self.flow.report(self.options.float_layers, self.options.residual)

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


def _native_run(data: bytes) -> Run:
    """Runs a compiled part."""
    session = Session(data)

    def run(arrays: list[Any]) -> list[Any]:
        results = session.run(*arrays)
        return results if isinstance(results, list) else [results]

    return run


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
