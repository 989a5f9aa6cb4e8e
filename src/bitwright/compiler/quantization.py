"""What `float_layers="int8"` and `residual="int16"` do: calibrate on samples, rewrite the program, say what it cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .calibration import BATCH, Tracer, calibrate
from .error_bound import bounds
from .errors import CompileError
from .histogram import Histogram
from .passes.fixed_residual import Stream, candidates, fixed_residual, probe, unprobe
from .passes.fold_stored import fold_stored
from .passes.pool_u8 import pool_u8
from .passes.prune import prune
from .passes.quantize_layers import LayerReport, layers, quantize_layers
from .planner import plan
from .program import BConv, Const, DType, Program, Step, StepKind
from .samples import Samples

F64 = npt.NDArray[np.float64]
Array = np.ndarray[Any, Any]

FLOAT_LAYERS = ("fp32", "int8")
RESIDUALS = ("fp32", "int16")


@dataclass(frozen=True)
class StreamReport:
    """One stream of the i16 residual."""

    maps: int
    layers: int  # binary convolutions whose whole epilogue is integer
    scale: float
    reach: float  # largest magnitude that 16 bits hold
    largest: float  # in the calibration samples
    bound: float  # proven: no element is farther from the float stream's, given equal bits upstream
    measured: float  # largest error on some of the calibration samples, given equal bits
    certain: float  # share of the compared numbers so far from their threshold that the bound proves equal bits
    kept: dict[str, str]  # layers with a float chain -> why


@dataclass(frozen=True)
class Accuracy:
    """The quantized program against the fp32 one, on samples that were not used for calibration."""

    samples: int
    agreement: float | None = None  # share of equal argmax; None: the output is one number
    top1_fp32: float | None = None  # with labels only
    top1: float | None = None
    rms_error: float = 0.0  # of the outputs, relative to the root mean square of the fp32 outputs
    max_error: float = 0.0  # relative to the spread of the fp32 outputs


@dataclass
class QuantizationReport:
    """What was quantized, and what it cost."""

    float_layers: str
    residual: str
    samples: int  # for calibration
    layers: list[LayerReport] = field(default_factory=list)
    streams: list[StreamReport] = field(default_factory=list)
    accuracy: Accuracy = field(default_factory=lambda: Accuracy(0))

    def to_dict(self) -> dict[str, Any]:
        """For JSON and META."""
        return asdict(self)

    def __str__(self) -> str:
        from .quantization_text import text

        return text(self.to_dict())


def check_modes(float_layers: str, residual: str) -> None:
    """Raises CompileError for an unknown mode."""
    for what, given, known in (("float_layers", float_layers, FLOAT_LAYERS), ("residual", residual, RESIDUALS)):
        if given not in known:
            raise CompileError(f"{what} is {given!r}; known are {', '.join(known)}")


def quantize(
    program: Program, samples: Samples, held_out: Samples, *, float_layers: str, residual: str
) -> QuantizationReport:
    """Rewrites a program of `run_passes`, and leaves it planned.

    Args:
        program: the fp32 program.
        samples: for calibration.
        held_out: to compare the two programs on.
        float_layers: "int8" quantizes the float layers.
        residual: "int16" makes the residual stream fixed-point.
    """
    check_modes(float_layers, residual)
    report = QuantizationReport(float_layers, residual, len(samples))
    plan(program)
    fp32 = Tracer(program)
    old = list(program.ops)  # alive, so that no id is reused
    mine = candidates(program) if residual == "int16" else set()
    fold_stored(program, mine)
    probes = probe(program, mine)
    plan(program)
    wanted = mine | {id(v) for values in probes.values() for v in values}
    if float_layers == "int8":
        wanted |= {id(op.inp) for op in layers(program)}
    stats = calibrate(program, samples, wanted)
    peaks = {key: max(stats[id(v)].largest for v in values) for key, values in probes.items()}
    unprobe(program, probes)
    if float_layers == "int8":
        report.layers = quantize_layers(program, stats)
        prune(program)
        pool_u8(program)
        prune(program)
    if residual == "int16":
        report.streams = _residual(program, samples, stats, peaks, mine)
    plan(program)
    report.accuracy = compare(fp32, Tracer(program), held_out)
    del old
    return report


def _residual(
    program: Program, samples: Samples, stats: dict[int, Histogram], peaks: dict[int, float], mine: set[int]
) -> list[StreamReport]:
    probes = probe(program, mine)
    plan(program)
    reference = Tracer(program)
    compared = _compared(program)
    unprobe(program, probes)
    found, before = fixed_residual(program, {key: stats[key].largest for key in mine}, peaks)
    errors = bounds(program, before)
    plan(program)
    measured, margin = _measure(reference, Tracer(program), program, samples[:BATCH], compared, errors)
    return [_report(stream, program, errors, measured, margin) for stream in found]


def _compared(program: Program) -> dict[int, tuple[int, F64]]:
    """id(bits) -> (id of the stored number that is compared, its threshold), in a program with probes."""
    found = {}
    for op in program.ops:
        last = None
        for s in op.steps:
            if s.kind is StepKind.STORE:
                last = s.value
            elif s.kind is StepKind.STORE_BITS and last is not None and s.value is not None:
                found[id(s.value)] = (id(last), _threshold(s))
            elif not s.stores:
                last = None
    return found


def _threshold(s: Step) -> F64:
    const: Const | None = s.a
    return np.full(1, np.float32(s.p0), np.float64) if const is None else const.data.astype(np.float64)


def _measure(
    reference: Tracer,
    fixed: Tracer,
    program: Program,
    samples: Samples,
    compared: dict[int, tuple[int, F64]],
    errors: dict[int, F64],
) -> tuple[dict[int, float], dict[int, tuple[int, int]]]:
    """(id(i16 value) -> largest error given equal bits and bytes, id(bits) -> (elements proven equal, elements))."""
    floats: dict[int, Array] = {}
    for _, made in reference.walk(samples.arrays):
        floats.update(made)
    margin = {}
    for bits, (key, threshold) in compared.items():
        e = errors.get(bits)
        if e is not None:
            sure = np.abs(floats[key].astype(np.float64) - threshold) > e
            margin[bits] = (int(sure.sum()), sure.size)
    values = {id(v): v for v in program.values()}
    discrete = {k: x for k, x in floats.items() if k in values and values[k].dtype in (DType.BITS, DType.U8)}
    measured: dict[int, float] = {}
    for _, made in fixed.walk(samples.arrays, discrete):
        for key, q in made.items():
            if values[key].dtype is DType.I16:
                error = np.abs(q.astype(np.float64) * values[key].scale - floats[key])
                measured[key] = max(measured.get(key, 0.0), float(error.max(initial=0.0)))
    return measured, margin


def _report(
    stream: Stream,
    program: Program,
    errors: dict[int, F64],
    measured: dict[int, float],
    margin: dict[int, tuple[int, int]],
) -> StreamReport:
    mine = {id(v) for v in stream.values}
    whole, sure, total = 0, 0, 0
    for op in program.ops:
        if any(id(v) in mine for v in op.writes()):
            whole += isinstance(op, BConv) and op.steps[0].kind is StepKind.FIXED
            for v in op.writes():
                s, n = margin.get(id(v), (0, 0))
                sure, total = sure + s, total + n
    return StreamReport(
        maps=len(stream.values),
        layers=whole,
        scale=stream.scale,
        reach=stream.scale * 32767,
        largest=stream.largest,
        bound=max((float(errors[k].max()) for k in mine if k in errors), default=0.0),
        measured=max((measured.get(k, 0.0) for k in mine), default=0.0),
        certain=sure / total if total else 1.0,
        kept=dict(stream.kept),
    )


def compare(fp32: Tracer, quantized: Tracer, samples: Samples) -> Accuracy:
    """Both programs on the same samples."""
    if not len(samples):
        return Accuracy(0)
    wanted, got = (_outputs(t, samples) for t in (fp32, quantized))
    return accuracy(wanted, got, samples.labels)


def accuracy(wanted: Array, got: Array, y: Array | None) -> Accuracy:
    """Outputs of the quantized model against those of the fp32 one, both [samples, elements]; `y`: classes."""
    a, b = wanted.astype(np.float64), got.astype(np.float64)
    spread = float(np.ptp(a)) or 1.0
    norm = float(np.sqrt(np.square(a).mean())) or 1.0
    rms = float(np.sqrt(np.square(a - b).mean())) / norm
    worst = float(np.abs(a - b).max()) / spread
    if a.shape[1] < 2:
        return Accuracy(len(a), None, None, None, rms, worst)
    p, q = a.argmax(axis=1), b.argmax(axis=1)
    agreement = float((p == q).mean())
    if y is None:
        return Accuracy(len(a), agreement, None, None, rms, worst)
    return Accuracy(len(a), agreement, float((p == y).mean()), float((q == y).mean()), rms, worst)


def _outputs(tracer: Tracer, samples: Samples) -> Array:
    """The first output of every sample, as rows."""
    rows = [tracer.run(batch)[0].reshape(len(batch[0]), -1) for batch in samples.batches(64)]
    return np.concatenate(rows)


__all__ = [
    "FLOAT_LAYERS", "RESIDUALS", "Accuracy", "QuantizationReport", "StreamReport", "accuracy", "check_modes",
    "quantize",
]  # fmt: skip
