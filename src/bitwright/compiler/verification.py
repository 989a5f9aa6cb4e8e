"""`verify`: the engine against the source model, layer by layer on real inputs, then the whole network (agreement:
docs/develop/compiler.md).

Layer by layer, each op of the engine gets the *reference's* inputs, so that no difference travels on. Bits and
integer accumulators must be
equal; floats agree to 1e-5 of the layer's spread; a bit may differ only where the reference's float lies within 1e-5
of the spread from
its threshold. Then the engine runs the whole network by itself, and each input whose argmax differs must be
explained by such flips.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bitwright.runtime.container import is_container

from .bwm_read import read
from .checks import (
    TOLERANCE,
    ValueCheck,
    accumulator_map,
    check_bits,
    check_floats,
    check_integers,
    level_boundary,
    spread_of,
    written_part,
)
from .errors import VerifyError
from .graph import ModelSource
from .meta import array_of, meanings
from .pixels import Pixels
from .program import DType, Op, Program, Value
from .reference import Reference, make_reference
from .verify_quantized import QuantizedWalk, SourceAgreement, is_quantized
from .verify_report import Disagreement, VerifyReport

if TYPE_CHECKING:
    from bitwright.runtime import Session

Array = np.ndarray[Any, Any]
Inputs = Array | Mapping[str, Array] | Iterable[Array | Mapping[str, Array]]


def verify(
    source: ModelSource,
    bwm: str | os.PathLike[str],
    inputs: Inputs,
    *,
    reference: object = "onnxruntime",
    threads: int = 1,
    kernel: str | None = None,
    batch: int = 32,
) -> VerifyReport:
    """Compares a compiled file with its source on real inputs.

    A quantized file is another function than its source: its engine is compared with the file's own integer reference,
    and how far the answers are from the source's is reported (`verify_quantized.py`).

    Args:
        source: the ONNX model that the file was compiled from.
        bwm: the file.
        inputs: an array [N, ...] (a memory map is read in pieces), a mapping of input names to arrays, or an
            iterable of such batches.
        reference: "onnxruntime", an object with `tensors(*inputs) -> {ONNX tensor name: array}`, or such a callable.
        threads: threads of the engine (and of onnxruntime).
        kernel: force a kernel or instruction set of the engine.
        batch: samples a call.

    Raises:
        VerifyError: the file does not belong to the model, or the inputs do not fit it.
        BwmFormatError: the file is damaged.
    """
    verifier = Verifier(source, bwm, reference=reference, threads=threads, kernel=kernel)
    verifier.add(inputs, batch=batch)
    if not verifier.report.samples:
        raise VerifyError("there are no inputs")
    return verifier.report


class Verifier:
    """`verify` in pieces: `add` inputs as they come, then read `report`. Arguments and errors as in `verify`."""

    def __init__(
        self,
        source: ModelSource,
        bwm: str | os.PathLike[str],
        *,
        reference: object = "onnxruntime",
        threads: int = 1,
        kernel: str | None = None,
    ) -> None:
        if is_container(bwm):
            from .partition.verification import PartsWalk

            self._walk: Walk | Quantized | PartsWalk = PartsWalk(source, bwm, reference, threads, kernel)
            self._provider = self._walk.provider
            self._inputs = self._walk.inputs
            self.report = self._walk.report
            return
        self._program = read(bwm)
        self._inputs = [InputFacts.of(v) for v in self._program.inputs]
        from bitwright.runtime import Session

        engine = Engine(self._program, Session(os.fspath(bwm), threads=threads, kernel=kernel))
        try:
            known = meanings(self._program)
        except (ValueError, KeyError, TypeError) as error:
            raise VerifyError(f"{os.fspath(bwm)}: {error}") from error
        quantized = is_quantized(self._program)
        outputs = {v.name for v in self._program.outputs}
        wanted = sorted(outputs if quantized else {m.tensor for m in known.values()})
        self._provider = make_reference(reference, source, wanted, threads)
        label = reference if isinstance(reference, str) else type(reference).__name__
        name = self._program.meta.get("name", "")
        self.report = VerifyReport(str(name), os.fspath(bwm), label, kernel or "default", threads)
        if quantized:
            for v in self._program.values():
                v.meaning = known.get(id(v))
            self._walk = Quantized(self._program, engine, self.report)
        else:
            self._walk = Walk(self._program, engine, known, self.report)

    def add(self, inputs: Inputs, *, batch: int = 32) -> None:
        """Compare on further inputs, `batch` samples a call."""
        if batch < 1:
            raise VerifyError(f"batch must be at least 1, got {batch}")
        for feed in _batches(self._inputs, inputs, batch):
            self._walk.batch(self._provider, feed)


@dataclass(frozen=True)
class InputFacts:
    """What `verify` gives to both sides for one input."""

    name: str
    shape: tuple[int | str, ...]  # without the batch
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, v: Value) -> InputFacts:
        kinds: dict[DType, Any] = {DType.F32: np.float32, DType.I32: np.int64, DType.U8: np.uint8}
        return cls(v.name, v.external_shape, np.dtype(kinds[v.dtype]))

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape can be given; sizes with a name are free."""
        return len(shape) == len(self.shape) + 1 and all(
            isinstance(n, str) or n == k for n, k in zip(self.shape, shape[1:], strict=True)
        )


def _batches(facts: Sequence[InputFacts], inputs: Inputs, batch: int) -> Iterator[list[Array]]:
    """Pieces of at most `batch` samples, each a list in the order of the model's inputs."""
    names = [f.name for f in facts]

    def feed(piece: Array | Mapping[str, Array]) -> list[Array]:
        if isinstance(piece, Mapping):
            missing = [n for n in names if n not in piece]
            if missing:
                raise VerifyError(f"inputs {missing} are missing; given: {sorted(piece)}")
            arrays = [piece[n] for n in names]
        elif len(names) == 1:
            arrays = [piece]
        else:
            raise VerifyError(f"the model has the inputs {names}; give a mapping of names to arrays")
        for f, x in zip(facts, arrays, strict=True):
            if np.ndim(x) == 0 or not f.fits(np.shape(x)):
                raise VerifyError(f"input {f.name!r} has shape {list(np.shape(x))}, the model takes {['N', *f.shape]}")
            if f.dtype == np.uint8 and np.asarray(x[:0]).dtype != np.uint8:
                raise VerifyError(f"input {f.name!r} is {np.asarray(x[:0]).dtype}; the file takes uint8 pixels")
        if len({len(x) for x in arrays}) != 1:
            raise VerifyError("the inputs have different numbers of samples")
        return arrays

    pieces = [inputs] if isinstance(inputs, (np.ndarray, Mapping)) else inputs
    for piece in pieces:
        whole = feed(piece)
        for at in range(0, len(whole[0]), batch):
            part = [np.ascontiguousarray(x[at : at + batch]) for x in whole]
            yield [np.asarray(x, dtype=f.dtype) for x, f in zip(part, facts, strict=True)]


class Engine:
    """The native engine behind the names of the program."""

    def __init__(self, program: Program, session: Session) -> None:
        self._program = program
        self._session = session
        self._ids = {id(v): i for i, v in enumerate(program.values())}

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        names = [v.name for v in self._program.inputs]
        result: Any = self._session.run(inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=True)))
        outputs = self._program.outputs
        if isinstance(result, Mapping):
            return [np.asarray(result[v.name]) for v in outputs]
        return [np.asarray(r) for r in (result if isinstance(result, (list, tuple)) else [result])]

    def run_op(self, index: int, op: Op, arrays: Mapping[int, Array]) -> dict[int, Array]:
        """id(value) -> [N, D, H, W, C], for what the op writes."""
        given = {self._ids[id(v)]: arrays[id(v)] for v in op.reads()}
        result = self._session.run_op(index, given)
        return {id(v): np.asarray(result[self._ids[id(v)]]) for v in op.writes()}


class Quantized:
    """The walk of a quantized file."""

    def __init__(self, program: Program, engine: Engine, report: VerifyReport) -> None:
        report.source = SourceAgreement()
        self._pixels = Pixels.of_meta(program.meta)
        self._walk = QuantizedWalk(program, engine, report, report.source)

    def batch(self, provider: Reference, feed: list[Array]) -> None:
        given = feed if self._pixels is None else [self._pixels.normalized(feed[0])]
        self._walk.batch(provider.tensors(*given), feed)


class Walk:
    """Runs batches through both sides and keeps the sums."""

    def __init__(self, program: Program, engine: Engine, known: Mapping[int, Any], report: VerifyReport) -> None:
        self.program, self.engine, self.known, self.report = program, engine, known, report
        self.checks: dict[tuple[int, int], ValueCheck] = {}
        self.unknown: dict[int, str] = {}
        for i, op in enumerate(program.ops):
            for v in op.writes():
                meaning = known.get(id(v))
                tensor = meaning.tensor if meaning is not None else ""
                self.checks[i, id(v)] = ValueCheck(
                    i, op.module or op.name, type(op).__name__, tensor, v.dtype.name.lower()
                )
        report.values = list(self.checks.values())

    def batch(self, provider: Reference, feed: list[Array]) -> None:
        tensors = provider.tensors(*feed)
        self.layers(tensors, feed)
        self._network(tensors, feed)
        self.report.samples += len(feed[0])

    def _reference(self, value: Value, tensors: Mapping[str, Array]) -> tuple[Array, Array] | None:
        """(the value, its float tensor) according to the reference, both [N, D, H, W, C]; None if it does not know."""
        meaning = self.known.get(id(value))
        if meaning is None or meaning.tensor not in tensors:
            return None
        try:
            tensor = np.asarray(tensors[meaning.tensor], dtype=np.float32)
            wanted = array_of(meaning, value, tensor)
        except ValueError as error:
            raise VerifyError(f"the reference does not fit the file: {error}") from error
        if value.dtype is not DType.BITS:
            return wanted, wanted
        plain = Value(DType.F32, value.dims)
        return wanted, array_of(meaning, plain, tensor)

    def layers(self, tensors: Mapping[str, Array], feed: list[Array]) -> None:
        """Compares each op, given the reference's tensors. `feed`: the program's inputs."""
        arrays: dict[int, Array] = {}
        for v, x in zip(self.program.inputs, feed, strict=True):
            meaning = self.known.get(id(v))
            if meaning is None:
                raise VerifyError(f"META does not say what input {v.name!r} stands for")
            arrays[id(v)] = array_of(meaning, v, x).astype(np.int32 if v.dtype is DType.I32 else np.float32)
        for i, op in enumerate(self.program.ops):
            outputs = self.engine.run_op(i, op, arrays)
            for v in op.writes():
                got = outputs[id(v)]
                if v.dtype is DType.BITS and v.planes == 1:
                    got = got.astype(bool)
                pair = self._reference(v, tensors)
                check = self.checks[i, id(v)]
                if pair is None:
                    if check.tensor not in self.report.not_compared:
                        self.report.not_compared.append(check.tensor or check.name)
                    self._keep(arrays, op, v, got)
                    continue
                self._compare(check, op, v, got, *pair)
                arrays[id(v)] = pair[0]

    @staticmethod
    def _keep(arrays: dict[int, Array], op: Op, v: Value, got: Array) -> None:
        """The engine's own result, where the reference has none (several COPYs fill one value)."""
        part = written_part(op, v)
        if id(v) in arrays:
            arrays[id(v)][part] = got[part]
        else:
            arrays[id(v)] = got.copy()

    def _compare(self, check: ValueCheck, op: Op, v: Value, got: Array, wanted: Array, floats: Array) -> None:
        part = written_part(op, v)
        spread = spread_of(floats)
        if v.dtype is DType.BITS and self.known[id(v)].gain is not None:
            threshold = level_boundary(self.known[id(v)], got, wanted)
            check_bits(check, got, wanted, floats, threshold, spread, self.report.samples)
            return
        if v.dtype is DType.BITS:
            threshold = np.broadcast_to(self.known[id(v)].threshold, v.channels)
            check_bits(check, got, wanted, floats, threshold, spread, self.report.samples)
            return
        check_floats(check, got[part], wanted[part], spread)
        form = accumulator_map(op, v)
        if form is not None:
            g = op.geometry  # type: ignore[attr-defined]
            check_integers(check, got, wanted, *form, g.taps * (op.inp.channels // g.groups))

    # --- the whole network

    def _network(self, tensors: Mapping[str, Array], feed: list[Array]) -> None:
        results = self.engine.run(feed)
        outputs = {v.name: got for v, got in zip(self.program.outputs, results, strict=True)}

        def explain(sample: int, output: str, engine: int) -> tuple[bool, str]:
            return self.follow(sample, tensors, feed) or tie(np.asarray(tensors[output]), sample, engine)

        compare_outputs(self.report, outputs, tensors, len(feed[0]), explain)

    def follow(self, sample: int, tensors: Mapping[str, Array], feed: list[Array]) -> tuple[bool, str] | None:
        """Follows one input through the engine on its own values: the first bits that differ must lie at their
        threshold. None if no bit differs."""
        one = {
            k: np.asarray(t)[sample : sample + 1] for k, t in tensors.items() if np.ndim(t) and len(t) == len(feed[0])
        }
        arrays: dict[int, Array] = {}
        for v, x in zip(self.program.inputs, feed, strict=True):
            part = array_of(self.known[id(v)], v, x[sample : sample + 1])
            arrays[id(v)] = part.astype(np.int32 if v.dtype is DType.I32 else np.float32)
        for i, op in enumerate(self.program.ops):
            outputs = self.engine.run_op(i, op, arrays)
            for v in op.writes():
                self._keep(arrays, op, v, outputs[id(v)])
                pair = self._reference(v, one) if v.dtype is DType.BITS else None
                if pair is None:
                    continue
                wrong = outputs[id(v)].astype(pair[0].dtype) != pair[0]
                if not wrong.any():
                    continue
                meaning = self.known[id(v)]
                spread = spread_of(np.asarray(tensors[meaning.tensor]))
                limits = meaning.threshold
                if meaning.gain is not None:
                    limits = level_boundary(meaning, outputs[id(v)], pair[0])
                distance = np.abs(pair[1].astype(np.float64) - limits) / spread
                far = float(distance[wrong].max())
                where = op.module or op.name
                text = f"{int(wrong.sum())} bits flip first in {where} at {far:.1e} of the spread from their threshold"
                return far <= TOLERANCE, text
        return None


def tie(wanted: Array, sample: int, engine: int) -> tuple[bool, str]:
    """Whether two answers are equally good by the reference, for want of another explanation."""
    ref = wanted.reshape(len(wanted), -1)
    gap = float(np.max(ref[sample]) - ref[sample, engine]) / spread_of(ref)
    return gap <= TOLERANCE, f"no bit flips; the two answers differ by {gap:.1e} of the spread"


def compare_outputs(
    report: VerifyReport,
    outputs: Mapping[str, Array],
    tensors: Mapping[str, Array],
    n: int,
    explain: Callable[[int, str, int], tuple[bool, str]],
) -> None:
    """Adds the whole network's answers on `n` samples to a report.

    Args:
        outputs: the engine's, by name.
        tensors: the reference's.
        explain: (sample, output, the engine's argmax) -> whether a different argmax is explained, and how.
    """
    identical, agreed = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    for name, got in outputs.items():
        if name not in tensors:
            raise VerifyError(f"the reference does not give the output {name!r}")
        wanted = np.asarray(tensors[name]).reshape(got.shape)
        flat, ref = (a.reshape(n, -1) if a.ndim and len(a) == n else a.reshape(1, -1) for a in (got, wanted))
        identical &= (flat == ref).all(axis=1)
        if flat.dtype.kind not in "fiub":
            continue
        error = np.abs(flat.astype(np.float64) - ref) / spread_of(ref)
        worst = float(np.nan_to_num(error, nan=np.inf, posinf=np.inf).max(initial=0.0))
        report.max_output_error = max(report.max_output_error, worst)
        if flat.shape[1] < 2 or len(flat) != n:
            continue
        a, b = flat.argmax(axis=1), ref.argmax(axis=1)
        for s in np.flatnonzero(a != b):
            agreed[s] = False
            explained, why = explain(int(s), name, int(a[s]))
            report.disagreements.append(
                Disagreement(report.samples + int(s), name, int(a[s]), int(b[s]), explained, why)
            )
    report.outputs_equal += int(identical.sum())
    report.argmax_equal += int(agreed.sum())
