"""`compile`: ONNX in, `.bwm` out."""

from __future__ import annotations

import os
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

    def __str__(self) -> str:
        quantized = "" if self.quantization is None else f"\n{self.quantization}"
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

    Raises:
        UnsupportedModelError: the graph holds what the engine cannot run; lists every such node.
        CompileError: the file is not ONNX, or its inputs are unusable; quantization without samples, or with samples
            that do not fit the model.
        FileNotFoundError: there is no such file.
    """
    graph = load_graph(source)
    label = name if name is not None else Path(graph.source).stem
    program = _lowered(graph, optimize)
    report = None
    if uint8_input:
        pixels = take_pixels(program, pixels or Pixels.of_source(graph.metadata))
    elif pixels is not None:
        raise CompileError("pixels are described, but the model does not take them: say uint8_input=True")
    check_modes(float_layers, residual)
    if float_layers != "fp32" or residual != "fp32":
        if not optimize:
            raise CompileError("quantization needs the optimized program; leave optimize at True")
        samples, held_out = _samples(program, calibration, evaluation, labels)
        report = quantize(program, samples, held_out, float_layers=float_layers, residual=residual)
    elif calibration is not None or evaluation is not None or labels is not None:
        raise CompileError(
            'calibration samples are given, but nothing is quantized: say float_layers="int8" or residual="int16"'
        )
    program.meta = meta.build(program, graph, plan(program), label)
    if report is not None:
        program.meta["quantization"] = report.to_dict()
    if pixels is not None:
        program.meta["pixels"] = pixels.to_dict()
    data = bwm.encode(program)
    read(data)  # the file that leaves here passes the reader's checks
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    costs = [macs(op) for op in program.ops]
    return CompileReport(
        path=Path(target),
        name=label,
        file_bytes=len(data),
        arena_bytes=program.meta["plan"]["peak"],
        arena_bytes_unshared=program.meta["plan"]["naive"],
        nodes=len(graph.nodes),
        ops=len(program.ops),
        binary_macs=sum(c.binary for c in costs),
        float_macs=sum(c.floating for c in costs),
        int8_macs=sum(c.int8 for c in costs),
        quantization=report,
    )


def _samples(
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
    program = _lowered(graph, optimize)
    program.meta = meta.build(program, graph, plan(program), name)
    return program


def _lowered(graph: Graph, optimize: bool) -> Program:
    program = lower(graph)
    if optimize:
        run_passes(program)
    else:
        prune(program)
    return program
