"""Samples that a model is calibrated with or judged on: checked once, with one clear error, then plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import CompileError
from .program import DType, Program, Value

Array = np.ndarray[Any, Any]
Batch = Array | Mapping[str, Array]
Inputs = Batch | Iterable[Batch]

_NUMPY: dict[DType, Any] = {DType.F32: np.float32, DType.I32: np.int64, DType.U8: np.uint8}


@dataclass(frozen=True)
class Samples:
    """Samples of every input of a model, in the order of its inputs; labels of the samples, if known."""

    arrays: tuple[Array, ...]
    labels: Array | None = None

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, part: slice | Array) -> Samples:
        return Samples(tuple(a[part] for a in self.arrays), None if self.labels is None else self.labels[part])

    def batches(self, size: int) -> Iterator[list[Array]]:
        """Pieces of at most `size` samples."""
        for at in range(0, len(self), size):
            yield [np.ascontiguousarray(a[at : at + size]) for a in self.arrays]


def gather(inputs: Inputs, program: Program, what: str, labels: Any = None) -> Samples:
    """Samples given by a user as the model takes them: an array [N, ...], a mapping of input names to arrays, or an
    iterable of such batches.

    Args:
        inputs: the samples.
        program: the model; its inputs say which shapes and types are right.
        what: names the samples in errors ("calibration").
        labels: the class of each sample, or None.

    Raises:
        CompileError: empty, of a wrong shape or type, not finite, or the labels do not fit.
    """
    pieces = [inputs] if isinstance(inputs, (np.ndarray, Mapping)) else inputs
    if not isinstance(pieces, Iterable):
        raise CompileError(
            f"the {what} samples are {type(inputs).__name__}; an array or batches of arrays are expected"
        )
    columns: list[list[Array]] = [[] for _ in program.inputs]
    for piece in pieces:
        for column, v, x in zip(columns, program.inputs, _arrays(piece, program, what), strict=True):
            column.append(_checked(np.asarray(x), v, what))
    if not columns[0] or not sum(len(x) for x in columns[0]):
        raise CompileError(f"there are no {what} samples; give at least one, better 100 or more")
    arrays = tuple(np.concatenate(column) for column in columns)
    if len({len(a) for a in arrays}) != 1:
        raise CompileError(f"the inputs of the {what} samples have different numbers of samples")
    return Samples(arrays, None if labels is None else check_labels(labels, len(arrays[0]), what))


def _arrays(piece: Batch, program: Program, what: str) -> list[Any]:
    names = [v.name for v in program.inputs]
    if isinstance(piece, Mapping):
        missing = [n for n in names if n not in piece]
        if missing:
            raise CompileError(f"the {what} samples have no {missing}; given are {sorted(piece)}")
        return [piece[n] for n in names]
    if len(names) != 1:
        raise CompileError(f"the model has the inputs {names}: give the {what} samples as a mapping of names to arrays")
    return [piece]


def _checked(x: Array, v: Value, what: str) -> Array:
    wanted = ["N", *v.external_shape]
    if x.ndim == 0 or x.shape[1:] != v.external_shape:
        hint = " (a batch dimension is missing: give x[None])" if x.shape == v.external_shape else ""
        raise CompileError(
            f"the {what} samples of {v.name!r} have the shape {list(x.shape)}; {wanted} is expected{hint}"
        )
    kind = np.dtype(_NUMPY[v.dtype])
    if v.dtype is DType.F32:
        if x.dtype not in (np.float32, np.float64):
            raise CompileError(
                f"the {what} samples of {v.name!r} are {x.dtype}; {kind} is expected, prepared as the model takes them"
            )
        x = x.astype(np.float32, copy=False)
        if not np.isfinite(x).all():
            bad = int((~np.isfinite(x)).reshape(len(x), -1).any(axis=1).sum())
            raise CompileError(f"{bad} of the {len(x)} {what} samples of {v.name!r} hold NaN or infinity")
        return x
    if v.dtype is DType.U8 and x.dtype != np.uint8:
        raise CompileError(f"the {what} samples of {v.name!r} are {x.dtype}; uint8 pixels are expected")
    if v.dtype is DType.I32 and x.dtype not in (np.int32, np.int64):
        raise CompileError(f"the {what} samples of {v.name!r} are {x.dtype}; int64 ids are expected")
    return x.astype(kind, copy=False)


def check_labels(labels: Any, count: int, what: str) -> Array:
    """The classes as int64. Raises `CompileError` if there are not `count` of them."""
    y = np.asarray(labels)
    if y.shape != (count,) or y.dtype.kind not in "iu":
        raise CompileError(
            f"the labels of the {what} samples are {y.dtype} of shape {list(y.shape)}; "
            f"integers of shape [{count}] are expected"
        )
    return y.astype(np.int64)


__all__ = ["Inputs", "Samples", "check_labels", "gather"]
