"""`compile`: ONNX in, `.bwm` out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bitwright.files import write_atomically

from . import bwm, meta
from .bwm_read import read
from .costs import macs
from .graph import Graph, ModelSource, load_graph
from .lower import lower
from .passes import run_passes
from .passes.prune import prune
from .planner import plan
from .program import Program


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

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.nodes} ONNX nodes -> {self.ops} ops, {self.file_bytes:,} bytes, "
            f"{self.arena_bytes:,} bytes of activations a sample, "
            f"{self.binary_macs:,} binary and {self.float_macs:,} float MACs"
        )


def compile(
    source: ModelSource, target: str | os.PathLike[str], *, name: str | None = None, optimize: bool = True
) -> CompileReport:
    """Compiles an ONNX model to a `.bwm` file.

    Args:
        source: path of an ONNX file, an `onnx.ModelProto` or an `onnx_ir.Model`. Its first axis is the batch; the
            other sizes are fixed.
        target: path of the file to write. It appears only when it is complete.
        name: name of the model in the file; the source's by default.
        optimize: False writes one op a node, unfused (to look for the pass that is wrong).

    Raises:
        UnsupportedModelError: the graph holds what the engine cannot run; lists every such node.
        CompileError: the file is not ONNX, or its inputs are unusable.
        FileNotFoundError: there is no such file.
    """
    graph = load_graph(source)
    label = name if name is not None else Path(graph.source).stem
    program = _build(graph, label, optimize)
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
    )


def build(source: ModelSource, *, name: str = "model", optimize: bool = True) -> Program:
    """The planned program of a model, without writing it. Arguments and errors as `compile`."""
    return _build(load_graph(source), name, optimize)


def _build(graph: Graph, name: str, optimize: bool) -> Program:
    program = lower(graph)
    if optimize:
        run_passes(program)
    else:
        prune(program)
    program.meta = meta.build(program, graph, plan(program), name)
    return program
