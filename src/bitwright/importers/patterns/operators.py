"""Elementwise operators in numpy, rounding as onnxruntime does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from bitwright.compiler.dialect import DOMAIN

Array = NDArray[Any]
QUANTIZING = {"Sign", "Round", "Floor", "Ceil", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Binarize"}
"""Operators that yield few values, or may in a bounded range."""
_COMPARES = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
_LOGIC = {"And", "Or", "Xor", "Not"}


def is_monotone(op: str, attributes: dict[str, Any], inputs: Sequence[object]) -> bool:
    """Whether an operator is monotone, rising or falling, in its one input that is not a constant array."""
    constants = [i for i in inputs if isinstance(i, np.ndarray)]
    first = not isinstance(inputs[0], np.ndarray)
    if op in ("Mul", "Div"):
        if any(c.dtype == np.float32 and not np.isfinite(c).all() for c in constants):
            return False
        return op == "Mul" or (first and bool(np.all(constants[0] != 0)))
    if op == "LeakyRelu":
        return float(attributes.get("alpha", 0.01)) >= 0
    if op == "PRelu":
        return first and bool(np.all(constants[0] >= 0))
    if op in ("Where", "Clip"):
        return first
    if op == "Cast":
        return int(attributes.get("to", 0)) != onnx.TensorProto.BOOL  # a float is True where it is not 0
    return op not in ("Equal", "Abs", "And", "Or", "Xor")


def numpy_function(node: onnx.NodeProto, attributes: dict[str, Any]) -> Callable[[list[Any]], Array] | None:
    """The node as a function of its inputs in numpy, rounding as onnxruntime does; None for other operators."""
    op = node.op_type
    if node.domain == DOMAIN:
        return _binarize(attributes) if op == "Binarize" else None
    if node.domain:
        return None
    if op == "Cast":
        return _cast(int(attributes.get("to", 0)))
    if op == "LeakyRelu":
        alpha = np.float32(attributes.get("alpha", 0.01))
        return lambda v: np.where(v[0] >= 0, v[0], v[0] * alpha)
    if op == "HardSigmoid":
        alpha, beta = np.float32(attributes.get("alpha", 0.2)), np.float32(attributes.get("beta", 0.5))
        return lambda v: np.minimum(np.maximum(v[0] * alpha + beta, np.float32(0)), np.float32(1))
    if op in _COMPARES | _LOGIC | {"Equal"}:
        return _BOOLEAN[op]
    return _FLOAT.get(op)


def _binarize(attributes: dict[str, Any]) -> Callable[[list[Any]], Array]:
    low = np.float32(attributes["low"])
    return lambda v: np.where(v[0] >= v[1], np.float32(1), low)


def _cast(to: int) -> Callable[[list[Any]], Array] | None:
    if to not in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL):
        return None
    dtype = helper.tensor_dtype_to_np_dtype(to)

    def function(v: list[Any]) -> Array:
        x = np.asarray(v[0])
        if x.dtype.kind == "f" and np.dtype(dtype).kind in "iu" and (np.abs(x) > 2**30).any():
            return np.full(x.shape, np.nan, np.float32)  # out of range is undefined: never understood
        return x.astype(dtype)

    return function


def _clip(v: list[Any]) -> Array:
    x = v[0]
    if len(v) > 1 and v[1] is not None:
        x = np.maximum(x, v[1])
    if len(v) > 2 and v[2] is not None:
        x = np.minimum(x, v[2])
    return np.asarray(x)


def _divide(v: list[Any]) -> Array:
    if np.asarray(v[0]).dtype.kind != "f":
        return np.full(np.broadcast(v[0], v[1]).shape, np.nan, np.float32)
    return np.asarray(v[0] / v[1])


_FLOAT: dict[str, Callable[[list[Any]], Array]] = {
    "Identity": lambda v: v[0],
    "Add": lambda v: v[0] + v[1],
    "Sub": lambda v: v[0] - v[1],
    "Mul": lambda v: v[0] * v[1],
    "Div": _divide,
    "Neg": lambda v: -v[0],
    "Abs": lambda v: np.abs(v[0]),
    "Relu": lambda v: np.maximum(v[0], np.zeros((), np.asarray(v[0]).dtype)),
    "PRelu": lambda v: np.where(v[0] >= 0, v[0], v[0] * v[1]),
    "Min": lambda v: np.minimum.reduce(np.broadcast_arrays(*v)),
    "Max": lambda v: np.maximum.reduce(np.broadcast_arrays(*v)),
    "Clip": _clip,
    "Sign": lambda v: np.sign(v[0]),
    "Round": lambda v: np.rint(v[0]),
    "Floor": lambda v: np.floor(v[0]),
    "Ceil": lambda v: np.ceil(v[0]),
    "Where": lambda v: np.where(v[0], v[1], v[2]),
}
_BOOLEAN: dict[str, Callable[[list[Any]], Array]] = {
    "Greater": lambda v: np.asarray(v[0] > v[1]),
    "GreaterOrEqual": lambda v: np.asarray(v[0] >= v[1]),
    "Less": lambda v: np.asarray(v[0] < v[1]),
    "LessOrEqual": lambda v: np.asarray(v[0] <= v[1]),
    "Equal": lambda v: np.asarray(v[0] == v[1]),
    "Not": lambda v: np.logical_not(v[0]),
    "And": lambda v: np.logical_and(v[0], v[1]),
    "Or": lambda v: np.logical_or(v[0], v[1]),
    "Xor": lambda v: np.logical_xor(v[0], v[1]),
}
