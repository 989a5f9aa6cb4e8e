"""`verify` of a file with int8 layers or an int16 residual: not the source's function, so judged by its own words.

Each op of the engine runs on the values of an integer reference, `interpreter.py`, which computes the file's program by
the words of docs/bwm.md. Where an op's arithmetic is exact (binary and int8 convolutions, pools, i16 and elementwise
steps) every bit, byte, integer and float must be equal. Sums of floats (fp32 layers, average pools of floats) and
functions (sigmoid, ...) are not: there floats agree to 1e-5 of the layer's spread, and a bit, byte or i16 number may
differ by one step where the reference's float lies that close to the step. How far the file's answers are from the
source model's is reported, and is no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from . import interpreter
from .checks import TOLERANCE, ValueCheck, check_bits, check_floats, spread_of, written_part
from .errors import VerifyError
from .program import DType, FConv, Op, Pool, PoolKind, Program, Step, StepKind, Value, out_dims

Array = np.ndarray[Any, Any]


@dataclass
class SourceAgreement:
    """The engine's answers against the source model's. For information: quantization makes it another function."""

    samples: int = 0
    argmax_equal: int = 0
    squares: float = 0.0  # sums of squares of the outputs' differences and of the source's outputs
    norm: float = 0.0
    max_error: float = 0.0  # relative to the spread of the source's outputs in a batch

    @property
    def agreement(self) -> float:
        return self.argmax_equal / self.samples if self.samples else 0.0

    @property
    def rms_error(self) -> float:
        return float(np.sqrt(self.squares / self.norm)) if self.norm else 0.0

    def add(self, got: Array, wanted: Array) -> None:
        """One batch of one output."""
        n = len(got)
        a = got.reshape(n, -1).astype(np.float64)
        b = np.asarray(wanted).reshape(n, -1).astype(np.float64)
        self.samples += n
        self.argmax_equal += int((a.argmax(axis=1) == b.argmax(axis=1)).sum()) if a.shape[1] > 1 else n
        self.squares += float(np.square(a - b).sum())
        self.norm += float(np.square(b).sum())
        self.max_error = max(self.max_error, float(np.abs(a - b).max(initial=0.0)) / spread_of(b))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"samples": self.samples, "agreement": self.agreement, "rms_error": self.rms_error,
                "max_error": self.max_error}  # fmt: skip

    def __str__(self) -> str:
        return (
            f"Against the source model (another function, so no verdict): same class on "
            f"{100 * self.agreement:.2f} % of {self.samples:,}; output error {100 * self.rms_error:.2f} % (rms), "
            f"largest {100 * self.max_error:.2f} % of the spread."
        )


class Engine(Protocol):
    """The native engine, op by op and whole."""

    def run(self, inputs: list[Array]) -> list[Array]: ...
    def run_op(self, index: int, op: Op, arrays: Mapping[int, Array]) -> dict[int, Array]: ...


class Report(Protocol):
    """What is filled in."""

    values: list[ValueCheck]
    samples: int
    outputs_equal: int
    argmax_equal: int
    max_output_error: float
    not_compared: list[str]


def is_quantized(program: Program) -> bool:
    """Whether a program is not the source's function."""
    return any(v.dtype in (DType.U8, DType.I16) for v in program.values())


def exact(op: Op) -> bool:
    """Whether every result of the op is determined to the last bit."""
    if isinstance(op, FConv):
        return False
    if isinstance(op, Pool) and op.kind is not PoolKind.MAX and op.inp.dtype is DType.F32:
        return False
    return not any(s.kind is StepKind.UNARY for s in op.steps)


class QuantizedWalk:
    """Runs batches through both sides and keeps the sums in a report."""

    def __init__(self, program: Program, engine: Engine, report: Report, source: SourceAgreement) -> None:
        self.program, self.engine, self.report, self.source = program, engine, report, source
        self.checks: dict[tuple[int, int], ValueCheck] = {}
        for i, op in enumerate(program.ops):
            for v in op.writes():
                tensor = v.meaning.tensor if v.meaning is not None else ""
                label = v.dtype.name.lower()
                self.checks[i, id(v)] = ValueCheck(i, op.module or op.name, type(op).__name__, tensor, label)
        report.values = list(self.checks.values())

    def batch(self, tensors: Mapping[str, Array], feed: list[Array]) -> None:
        """One batch: `feed` as the file takes it, `tensors` of the source model."""
        data: dict[int, Array] = {}
        for v, x in zip(self.program.inputs, feed, strict=True):
            data[id(v)] = np.ascontiguousarray(interpreter.to_internal(v, x))
            if v.dtype is DType.I32:
                data[id(v)] = data[id(v)].astype(np.int32)
        for i, op in enumerate(self.program.ops):
            self._op(i, op, data)
        self._network(tensors, feed, data)
        self.report.samples += len(feed[0])

    def _op(self, index: int, op: Op, data: dict[int, Array]) -> None:
        outputs = self.engine.run_op(index, op, data)
        shadow, floats = _with_floats(op) if not exact(op) else (op, {})
        interpreter.run_op(shadow, data)
        for v in op.writes():
            check, part = self.checks[index, id(v)], written_part(op, v)
            got, wanted = outputs[id(v)][part], data[id(v)][part]
            data[id(v)] = np.ascontiguousarray(data[id(v)])
            if exact(op):
                _equal(check, got, wanted)
            elif v.dtype is DType.F32:
                check_floats(check, got, wanted, spread_of(wanted))
            elif v.dtype is DType.BITS:
                stored, step = floats[id(v)]
                threshold = np.full(v.channels, np.float32(step.p0)) if step.a is None else step.a.data
                x = data[id(stored)]
                check_bits(check, got.astype(bool), wanted, x, threshold, spread_of(x), self.report.samples)
            else:
                _near(check, got, wanted, data[id(floats[id(v)][0])], v)

    def _network(self, tensors: Mapping[str, Array], feed: list[Array], data: Mapping[int, Array]) -> None:
        results = self.engine.run(feed)
        n = len(feed[0])
        identical, agreed = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
        for k, (v, got) in enumerate(zip(self.program.outputs, results, strict=True)):
            wanted = interpreter.to_external(v, data[id(v)])
            flat, ref = got.reshape(n, -1), wanted.reshape(n, -1)
            identical &= ((flat == ref) | (np.isnan(flat) & np.isnan(ref))).all(axis=1)
            error = np.abs(flat.astype(np.float64) - ref) / spread_of(ref)
            worst = float(np.nan_to_num(error, nan=np.inf, posinf=np.inf).max(initial=0.0))
            self.report.max_output_error = max(self.report.max_output_error, worst)
            if flat.shape[1] > 1:
                agreed &= flat.argmax(axis=1) == ref.argmax(axis=1)
            if v.name not in tensors:
                raise VerifyError(f"the reference does not give the output {v.name!r}")
            if k == 0:
                self.source.add(got, tensors[v.name])
        self.report.outputs_equal += int(identical.sum())
        self.report.argmax_equal += int(agreed.sum())


def _with_floats(op: Op) -> tuple[Op, dict[int, tuple[Value, Step]]]:
    """The op with x stored in front of every step that rounds or compares it: id(rounded value) -> (x, step)."""
    found: dict[int, tuple[Value, Step]] = {}
    steps: list[Step] = []
    rounded: Value | None = None
    for s in op.steps:
        if s.kind in (StepKind.STORE_U8, StepKind.STORE_BITS, StepKind.QUANTIZE_I16):
            x = Value(DType.F32, out_dims(op))
            steps.append(Step(StepKind.STORE, x))
            if s.value is not None:
                found[id(s.value)] = (x, s)
            else:
                rounded = x
        elif s.kind in (StepKind.STORE_I16, StepKind.STORE_BITS_I16) and rounded is not None and s.value is not None:
            found[id(s.value)] = (rounded, s)
        steps.append(s)
    return replace(op, steps=steps), found


def _equal(check: ValueCheck, got: Array, wanted: Array) -> None:
    same = got == wanted
    if got.dtype == np.float32:
        same |= np.isnan(got) & np.isnan(wanted)
    wrong = got.size - int(same.sum())
    check.compared += got.size
    check.equal += got.size - wrong
    check.bugs += wrong
    if check.dtype == "bits":
        check.flips += wrong
    elif check.dtype == "f32":
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.abs(got.astype(np.float64) - wanted.astype(np.float64)) / spread_of(wanted)
        check.max_error = max(check.max_error, float(np.where(same, 0.0, error).max(initial=0.0)))
    else:
        check.integers += got.size
        check.integer_errors += wrong


def _near(check: ValueCheck, got: Array, wanted: Array, x: Array, v: Value) -> None:
    """u8 or i16 numbers of a float sum: one step apart at most, and only where x lies at the middle between them."""
    a, b = got.astype(np.int64), wanted.astype(np.int64)
    apart = np.abs(a - b)
    middle = ((a + b) / 2 - v.zero) * v.scale
    far = np.abs(x.astype(np.float64) - middle) / spread_of(x) > TOLERANCE
    wrong = int(((apart > 1) | ((apart == 1) & far)).sum())
    check.compared += a.size
    check.equal += int((apart == 0).sum())
    check.integers += a.size
    check.integer_errors += wrong
    check.bugs += wrong


__all__ = ["QuantizedWalk", "SourceAgreement", "exact", "is_quantized"]
