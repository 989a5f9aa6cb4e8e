"""Follows one float32 value through elementwise operators with constants, and finds where a result of few values steps.

A tensor that is computed elementwise from a *root* tensor is a function f of one float (one function a channel where
constants are per channel). As long as every operator is monotone, so is f, and the float where it steps is found by
bisection over all float32 values, with the operators evaluated one by one in float32 as a runtime does. So `x >= t`,
`x > t`, `2 * clip(round(a*x + b), 0, 1) - 1`, `sign(sign(x) + 0.5)` and all their relatives need no patterns: what
counts is which values come out, and from which float on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .operators import QUANTIZING, is_monotone, numpy_function

Array = NDArray[Any]
Keys = NDArray[np.int64]
Step = Callable[[Array], Array]
MAX_STEPS = 64
"""Operators in one chain; a longer one starts anew in the middle."""
MAX_PIECES = 16
_FLOAT_MAX = np.float32(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Curve:
    """A tensor as a function of the elements of `root`: monotone `steps`, or `pieces` of constant value.

    `shape` is that of the constants in it, to be broadcast with the root from the right.
    """

    root: str
    shape: tuple[int, ...] = ()
    steps: tuple[Step, ...] = ()
    pieces: tuple[tuple[Keys, Array], ...] = ()  # (first key, value), rising; the first begins at the smallest float
    quantized: bool = False  # some step yields few values

    def __call__(self, x: Array) -> Array:
        """f of root values `x`, which broadcast with `shape`."""
        if self.pieces:
            keys = np.broadcast_to(to_keys(x), np.broadcast_shapes(np.shape(x), self.shape))
            return _at(self.pieces, keys)
        with np.errstate(all="ignore"):
            for step in self.steps:
                x = step(x)
        return np.asarray(x)

    def split(self) -> tuple[tuple[Keys, Array], ...] | None:
        """The pieces of a function with few values; None when there are many, or a NaN occurs."""
        if self.pieces:
            return self.pieces
        if not self.quantized:
            return None
        lowest = np.broadcast_to(to_keys(-_FLOAT_MAX), self.shape).astype(np.int64)
        highest = np.broadcast_to(to_keys(_FLOAT_MAX), self.shape).astype(np.int64)
        last = self(from_keys(highest))
        found: list[tuple[Keys, Array]] = []
        start = lowest
        while len(found) < MAX_PIECES:
            value = self(from_keys(start))
            if _is_nan(value) or _is_nan(last):
                return None
            found.append((start, value))
            more = value != last
            if not more.any():
                return tuple(found)
            low, high = start, np.where(more, highest, start)
            while np.any(high - low > 1):
                middle = (low + high) // 2
                same = self(from_keys(middle)) == value
                low, high = np.where(more & same, middle, low), np.where(more & ~same, middle, high)
            start = high  # where nothing more changes: the piece of the same value begins again
        return None


def to_keys(x: Any) -> Keys:
    """float32 to integers in the same order (-0.0 just below 0.0)."""
    bits = np.asarray(x, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF) - 1)


def from_keys(keys: Keys) -> NDArray[np.float32]:
    """The inverse of `to_keys`."""
    bits = np.where(keys >= 0, keys, (-(keys + 1)) | -0x80000000)
    return bits.astype(np.int32).view(np.float32)


def extend(
    node: onnx.NodeProto,
    attributes: dict[str, Any],
    inputs: Sequence[Curve | Array | None],
    root_shape: Callable[[str], tuple[int | str | None, ...] | None],
) -> Curve | None:
    """The curve of a node's output; None when the node is not elementwise in one root, or not understood.

    `inputs`: the curve of a computed input, the array of a constant one, None for an input that is not given.
    """
    function = numpy_function(node, attributes)
    curves = [i for i in inputs if isinstance(i, Curve)]
    if function is None or not curves or any(c.root != curves[0].root for c in curves):
        return None
    constants = [i for i in inputs if isinstance(i, np.ndarray)]
    if any(c.dtype not in (np.float32, np.bool_, np.int64, np.int32) for c in constants):
        return None
    if any(c.dtype == np.float32 and np.isnan(c).any() for c in constants):
        return None
    root = curves[0].root
    shape = np.broadcast_shapes(*(c.shape for c in curves), *(c.shape for c in constants)) if constants else None
    if shape is None:
        shape = np.broadcast_shapes(*(c.shape for c in curves))
    if not _fits(shape, root_shape(root)):
        return None
    quantized = node.op_type in QUANTIZING or any(c.quantized for c in curves)
    if len(curves) == 1 and not curves[0].pieces and is_monotone(node.op_type, attributes, inputs):
        steps = curves[0].steps
        if len(steps) >= MAX_STEPS:
            return None
        position = next(i for i, value in enumerate(inputs) if isinstance(value, Curve))

        def step(x: Array) -> Array:
            return function([x if i == position else value for i, value in enumerate(inputs)])

        return Curve(root, shape, (*steps, step), quantized=quantized)
    return _combine(node, inputs, function, root, shape)


def _combine(
    node: onnx.NodeProto,
    inputs: Sequence[Curve | Array | None],
    function: Callable[[list[Any]], Array],
    root: str,
    shape: tuple[int, ...],
) -> Curve | None:
    parts: list[tuple[tuple[Keys, Array], ...] | Array | None] = []
    for given in inputs:
        if not isinstance(given, Curve):
            parts.append(given)
            continue
        if node.op_type == "Equal" and not given.quantized:
            # x == c has three pieces although x itself has many.
            other = next((i for i in inputs if isinstance(i, np.ndarray)), None)
            if other is None or other.dtype != np.float32:
                return None
            compared = Curve(root, shape, (*given.steps, _comparison(other)), quantized=True)
            pieces = compared.split()
            return None if pieces is None else Curve(root, shape, (), tuple((k, v == 0) for k, v in pieces), True)
        pieces = given.split()
        if pieces is None:
            return None
        parts.append(pieces)
    stacks = [np.stack([np.broadcast_to(k, shape) for k, _ in p]) for p in parts if isinstance(p, tuple)]
    starts = np.sort(np.concatenate(stacks), axis=0)
    if len(starts) > MAX_PIECES:
        return None
    merged = []
    for keys in starts:
        values = [_at(p, keys) if isinstance(p, tuple) else p for p in parts]
        with np.errstate(all="ignore"):
            value = np.broadcast_to(function(values), shape)
        if _is_nan(value):
            return None
        merged.append((keys, value))
    return Curve(root, shape, (), tuple(merged), True)


def _comparison(c: Array) -> Step:
    return lambda x: (x > c).astype(np.int64) - (x < c).astype(np.int64)


def _at(pieces: tuple[tuple[Keys, Array], ...], keys: Keys) -> Array:
    """Values of the pieces in which `keys` lie."""
    result = np.broadcast_to(pieces[0][1], keys.shape)
    for start, value in pieces[1:]:
        result = np.where(keys >= start, value, result)
    return result


def _is_nan(value: Array) -> bool:
    return value.dtype.kind == "f" and bool(np.isnan(value).any())


def _fits(shape: tuple[int, ...], root: tuple[int | str | None, ...] | None) -> bool:
    """Whether constants of this shape broadcast with the root without enlarging it."""
    if all(n == 1 for n in shape):
        return root is None or len(shape) <= len(root)
    if root is None or len(shape) > len(root):
        return False
    return all(n == 1 or n == size for n, size in zip(reversed(shape), reversed(root), strict=False))
