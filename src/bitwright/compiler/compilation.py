"""`compile`: ONNX in, `.bwm` out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitwright.files import write_atomically

from . import bwm, meta
from .bwm_read import read
from .costs import macs
from .errors import CompileError
from .graph import Graph, ModelSource, load_graph
from .lower import lower
from .partition.report import PartitionReport
from .passes import run_passes
from .passes.prune import prune
from .passes.take_pixels import take_pixels
from .pixels import Pixels
from .planner import plan
from .program import Program
from .quantization import QuantizationReport, check_modes, quantize
from .samples import Inputs, Samples, gather


@dataclass(frozen=True)
class CompileReport:
    """What `compile` did."""

    path: Path
    name: str
    file_bytes: int
    arena_bytes: int  # activations of one sample
    arena_bytes_unshared: int  # the same if no two values shared memory
    nodes: int  # operators in the ONNX graph (constants not counted)
    ops: int  # ops in the file
    binary_macs: int
    float_macs: int
    int8_macs: int
    quantization: QuantizationReport | None = None  # of int8 layers and an int16 residual

    partition: PartitionReport | None = None  # of a model that runs partly in onnxruntime

    @classmethod
    def of(
        cls,
        path: Path,
        name: str,
        file_bytes: int,
        nodes: int,
        programs: Sequence[Program],
        quantization: QuantizationReport | None,
        partition: PartitionReport | None = None,
    ) -> CompileReport:
        """The report on finished programs."""
        costs = [macs(op) for program in programs for op in program.ops]
        return cls(
            path=path,
            name=name,
            file_bytes=file_bytes,
            arena_bytes=sum(program.meta["plan"]["peak"] for program in programs),
            arena_bytes_unshared=sum(program.meta["plan"]["naive"] for program in programs),
            nodes=nodes,
            ops=sum(len(program.ops) for program in programs),
            binary_macs=sum(c.binary for c in costs),
            float_macs=sum(c.floating for c in costs),
            int8_macs=sum(c.int8 for c in costs),
            quantization=quantization,
            partition=partition,
        )

    def __str__(self) -> str:
        quantized = "" if self.quantization is None else f"\n{self.quantization}"
        quantized += "" if self.partition is None else f"\n{self.partition}"
        return (
            f"{self.path}: {self.nodes} ONNX nodes -> {self.ops} ops, {self.file_bytes:,} bytes, "
            f"{self.arena_bytes:,} bytes of activations a sample, "
            f"{self.binary_macs:,} binary and {self.float_macs:,} float MACs{quantized}"
        )


def compile(
    source: ModelSource,
    target: str | os.PathLike[str],
    *,
    name: str | None = None,
    optimize: bool = True,
    float_layers: str = "fp32",
    residual: str = "fp32",
    calibration: Inputs | None = None,
    evaluation: Inputs | None = None,
    labels: Any = None,
    uint8_input: bool = False,
    pixels: Pixels | None = None,
    native_only: bool = False,
) -> CompileReport:
    """Compiles an ONNX model to a `.bwm` file.

    Args:
        source: path of an ONNX file, an `onnx.ModelProto` or an `onnx_ir.Model`. Its first axis is the batch; the
            other sizes are fixed.
        target: path of the file to write. It appears only when it is complete.
        name: name of the model in the file; the source's by default.
        optimize: False writes one op a node, unfused (to look for the pass that is wrong).
        float_layers: "fp32", or "int8": float convolutions and dense layers compute on u8 activations and int8
            weights. Another function than the source; the report says by how much.
        residual: "fp32", or "int16": the maps that shortcuts are added to become 16-bit fixed-point numbers, with a
            proven error bound.
        calibration: samples that "int8" and "int16" need, prepared as the model takes them: an array [N, ...], a
            mapping of input names to arrays, or an iterable of such batches. 100 or more are good.
        evaluation: other samples, to compare the quantized program with the fp32 one. Without them every fourth
            sample of the calibration is held out for that.
        labels: the class of each evaluation sample, if known: then the report gives both top-1 accuracies.
        uint8_input: the file takes uint8 pixels of the input's shape and normalises them itself, in the weights of an
            int8 layer that reads them. The samples are then pixels too.
        pixels: how pixels are normalised; by default as the ONNX file's metadata says (`bitwright export` writes it),
            or the graph does it at its head.
        native_only: True refuses a model that the engine cannot run alone. Otherwise its other nodes run in onnxruntime
            (which `Session` then needs), and the report says which and why; a model that the engine can run alone
            gives the same file either way.

    Raises:
        UnsupportedModelError: with `native_only`, the graph holds what the engine cannot run; lists every such node.
        CompileError: the file is not ONNX, or its inputs are unusable; quantization without samples, or with samples
            that do not fit the model.
        FileNotFoundError: there is no such file.
    """
    graph = load_graph(source)
    label = name if name is not None else Path(graph.source).stem
    options = Options(optimize, float_layers, residual, uint8_input, pixels)
    options.check(calibrated=calibration is not None or evaluation is not None or labels is not None)
    try:
        program = lower(graph)
    except CompileError:
        if native_only:
            raise
        from .partition.assemble import compile_parts

        return compile_parts(graph, Path(target), label, options, calibration, evaluation, labels)
    pixels = rewrite(program, options, graph)
    samples = split_samples(program, calibration, evaluation, labels) if options.quantizes else None
    data, report = finish(program, graph, label, options, pixels, samples)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    return CompileReport.of(Path(target), label, len(data), len(graph.nodes), [program], report)


@dataclass
class Options:
    """What `compile` was asked for."""

    optimize: bool = True
    float_layers: str = "fp32"
    residual: str = "fp32"
    uint8_input: bool = False
    pixels: Pixels | None = None

    @property
    def quantizes(self) -> bool:
        return self.float_layers != "fp32" or self.residual != "fp32"

    def check(self, *, calibrated: bool) -> None:
        """Raises `CompileError` for options that do not go together."""
        check_modes(self.float_layers, self.residual)
        if self.pixels is not None and not self.uint8_input:
            raise CompileError("pixels are described, but the model does not take them: say uint8_input=True")
        if self.quantizes and not self.optimize:
            raise CompileError("quantization needs the optimized program; leave optimize at True")
        if calibrated and not self.quantizes:
            raise CompileError(
                'calibration samples are given, but nothing is quantized: say float_layers="int8" or residual="int16"'
            )


def rewrite(program: Program, options: Options, graph: Graph) -> Pixels | None:
    """Runs the passes over a lowered program; returns how the program normalises pixels, if it takes them."""
    if options.optimize:
        run_passes(program)
    else:
        prune(program)
    if not options.uint8_input:
        return None
    return take_pixels(program, options.pixels or Pixels.of_source(graph.metadata))


def finish(
    program: Program,
    graph: Graph,
    label: str,
    options: Options,
    pixels: Pixels | None,
    samples: tuple[Samples, Samples] | None,
) -> tuple[bytes, QuantizationReport | None]:
    """Quantizes, plans and writes a rewritten program: the bytes of the file."""
    report = None
    if samples is not None:
        report = quantize(program, *samples, float_layers=options.float_layers, residual=options.residual)
    program.meta = meta.build(program, graph, plan(program), label)
    if report is not None:
        program.meta["quantization"] = report.to_dict()
    if pixels is not None:
        program.meta["pixels"] = pixels.to_dict()
    data = bwm.encode(program)
    read(data)  # the file that leaves here passes the reader's checks
    return data, report


def split_samples(
    program: Program, calibration: Inputs | None, evaluation: Inputs | None, labels: Any
) -> tuple[Samples, Samples]:
    """(samples to calibrate with, samples to compare on)."""
    if calibration is None:
        raise CompileError(
            "int8 layers and an int16 residual need calibration samples: give `calibration`, an array of inputs as the "
            "model takes them (on the command line: --calibrate FILE.npy or the name of a data set)"
        )
    samples = gather(calibration, program, "calibration")
    if evaluation is not None:
        return samples, gather(evaluation, program, "evaluation", labels)
    if labels is not None:
        raise CompileError("labels belong to evaluation samples; give `evaluation` too")
    if len(samples) < 2:
        raise CompileError("one calibration sample cannot be split; give at least 2, better 100 or more")
    held = np.arange(len(samples)) % 4 == (3 if len(samples) > 3 else 1)
    return samples[~held], samples[held]


def build(source: ModelSource, *, name: str = "model", optimize: bool = True) -> Program:
    """The planned program of a model, without writing it. Arguments and errors as `compile`."""
    return _build(load_graph(source), name, optimize)


def _build(graph: Graph, name: str, optimize: bool) -> Program:
    program = lower(graph)
    rewrite(program, Options(optimize), graph)
    program.meta = meta.build(program, graph, plan(program), name)
    return program
