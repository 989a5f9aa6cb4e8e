"""Samples that flow through the parts as they are compiled, so that each native part is calibrated on what it will see,
and the whole can be compared with its fp32 form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Graph
from ..program import Program
from ..quantization import Accuracy, QuantizationReport, accuracy
from ..samples import Inputs, Samples, check_labels, gather

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]
Run = Callable[[list[Array]], list[Any]]
_BATCH = 32


class Flow:
    """Calibration and evaluation samples at every boundary, in the fp32 model and (evaluation) in the quantized one.

    Raises `CompileError` for samples that are missing, empty or do not fit together.
    """

    def __init__(self, graph: Graph, calibration: Inputs | None, evaluation: Inputs | None, labels: Any) -> None:
        self._graph = graph
        names = [given.name for given in graph.inputs]
        if calibration is None:
            raise CompileError(
                "int8 layers and an int16 residual need calibration samples: give `calibration`, an array of inputs as "
                "the model takes them (on the command line: --calibrate FILE.npy or the name of a data set)"
            )
        samples = _collect(calibration, names, "calibration")
        if evaluation is not None:
            held_out = _collect(evaluation, names, "evaluation")
        else:
            if labels is not None:
                raise CompileError("labels belong to evaluation samples; give `evaluation` too")
            n = _count(samples)
            if n < 2:
                raise CompileError("one calibration sample cannot be split; give at least 2, better 100 or more")
            held = np.arange(n) % 4 == (3 if n > 3 else 1)
            samples, held_out = ({k: x[part] for k, x in samples.items()} for part in (~held, held))
        self.labels = None if labels is None else check_labels(labels, _count(held_out), "evaluation")
        fixed = {given.shape[0] for given in graph.inputs if given.shape and isinstance(given.shape[0], int)}
        self._batch = int(fixed.pop()) if len(fixed) == 1 else _BATCH
        if self._batch != _BATCH:
            samples, held_out = (self._whole_batches(found) for found in (samples, held_out))
        self.samples, self.fp32, self.quantized = samples, held_out, dict(held_out)
        self.reports: list[QuantizationReport] = []

    def _whole_batches(self, found: Tensors) -> Tensors:
        """A model of a fixed batch size takes whole batches only."""
        n = _count(found) // self._batch * self._batch
        if not n:
            raise CompileError(f"the model takes batches of {self._batch}; there are only {_count(found)} samples")
        if self.labels is not None and len(self.labels) != n:
            self.labels = self.labels[:n]
        return {k: x[:n] for k, x in found.items()}

    def of(self, program: Program) -> tuple[Samples, Samples]:
        """What a native part takes: (to calibrate with, to compare on)."""
        wanted = [v.name for v in program.inputs]
        calibration, held_out = (
            gather({n: found[n] for n in wanted}, program, what)
            for found, what in ((self.samples, "calibration"), (self.fp32, "evaluation"))
        )
        return calibration, held_out

    def through(self, inputs: Sequence[str], outputs: Sequence[str], fp32: Run, quantized: Run) -> None:
        """Runs the samples through a part."""
        for found, run in ((self.samples, fp32), (self.fp32, fp32), (self.quantized, quantized)):
            columns: list[list[Any]] = [[] for _ in outputs]
            n = _count(found)
            for at in range(0, n, self._batch):
                arrays = [found[name][at : at + self._batch] for name in inputs]
                for column, result in zip(columns, run(arrays), strict=True):
                    column.append(result)
            for name, column in zip(outputs, columns, strict=True):
                if all(isinstance(x, np.ndarray) and x.ndim for x in column):
                    found[name] = np.concatenate(column)

    def report(self, float_layers: str, residual: str) -> QuantizationReport:
        """Of all native parts, compared on the model's first output."""
        result = QuantizationReport(float_layers, residual, _count(self.samples))
        for own in self.reports:
            result.layers += own.layers
            result.streams += own.streams
        name = self._graph.outputs[0]
        n = _count(self.fp32)
        if name in self.fp32 and len(self.fp32[name]) == n and self.fp32[name].dtype.kind in "fiu":
            rows = [found[name].reshape(n, -1) for found in (self.fp32, self.quantized)]
            result.accuracy = accuracy(rows[0], rows[1], self.labels)
        else:
            result.accuracy = Accuracy(0)
        return result


def _count(found: Mapping[str, Array]) -> int:
    return len(next(iter(found.values())))


def _collect(inputs: Inputs, names: list[str], what: str) -> Tensors:
    """All samples of every input of the model."""
    pieces = [inputs] if isinstance(inputs, (np.ndarray, Mapping)) else inputs
    if not isinstance(pieces, Iterable):
        raise CompileError(
            f"the {what} samples are {type(inputs).__name__}; an array or batches of arrays are expected"
        )
    columns: dict[str, list[Array]] = {name: [] for name in names}
    for piece in pieces:
        if not isinstance(piece, Mapping):
            if len(names) != 1:
                raise CompileError(
                    f"the model has the inputs {names}: give the {what} samples as a mapping of names to arrays"
                )
            piece = {names[0]: piece}
        missing = [n for n in names if n not in piece]
        if missing:
            raise CompileError(f"the {what} samples have no {missing}; given are {sorted(piece)}")
        for name in names:
            columns[name].append(np.asarray(piece[name]))
    if not columns[names[0]] or not all(x.ndim for column in columns.values() for x in column):
        raise CompileError(f"there are no {what} samples; give at least one, better 100 or more")
    arrays = {name: np.concatenate(column) for name, column in columns.items()}
    if len({len(x) for x in arrays.values()}) != 1 or not _count(arrays):
        raise CompileError(f"the inputs of the {what} samples have different numbers of samples, or none")
    return arrays


__all__ = ["Flow"]
