"""Standard TFLite operators that work element by element, and quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from .layers import away_from_zero, double_rounding, half_bit, same_levels
from .reader import Operator
from .registry import Context, activation, clip, converts, option
from .tensors import TO_FIRST

_SIMPLE = {
    "RELU": "Relu",
    "LOGISTIC": "Sigmoid",
    "TANH": "Tanh",
    "HARD_SWISH": "HardSwish",
    "ABS": "Abs",
    "NEG": "Neg",
    "EXP": "Exp",
    "SQRT": "Sqrt",
    "LOG": "Log",
    "FLOOR": "Floor",
    "CEIL": "Ceil",
    "ROUND": "Round",
    "ELU": "Elu",
    "SIN": "Sin",
    "COS": "Cos",
    "SIGN": "Sign",
}
_PAIRS = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MINIMUM": "Min", "MAXIMUM": "Max", "POW": "Pow"}
_CASTS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.bool_): TensorProto.BOOL,
}


@converts(*_SIMPLE)
def simple(ctx: Context, op: Operator) -> None:
    """One operator of the same meaning."""
    x, first = ctx.tensors.any(op)
    ctx.tensors.put(op, ctx.build.node(_SIMPLE[op.op], [x], name=ctx.tensors.title(op)), first=first)


@converts("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
def relu(ctx: Context, op: Operator) -> None:
    """Relus with an upper bound."""
    x, first = ctx.tensors.any(op)
    low, high = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}[op.op]
    ctx.tensors.put(op, clip(ctx.build, x, low, high), first=first)


@converts("LEAKY_RELU")
def leaky_relu(ctx: Context, op: Operator) -> None:
    """LeakyRelu."""
    x, first = ctx.tensors.any(op)
    slope = float(option(ctx, op, "Alpha"))
    y = ctx.build.node("LeakyRelu", [x], name=ctx.tensors.title(op), alpha=slope)
    given, out = ctx.tensors.of(op, 0).quantization, ctx.tensors.out(op).quantization
    if given is not None and out is not None and slope > 0:
        y = away_from_zero(ctx, y, half_bit(slope * given.scale.astype(np.float64) / out.scale) * out.scale)
    ctx.tensors.put(op, y, first=first)


@converts("SQUARE")
def square(ctx: Context, op: Operator) -> None:
    """x * x."""
    x, first = ctx.tensors.any(op)
    ctx.tensors.put(op, ctx.build.node("Mul", [x, x], name=ctx.tensors.title(op)), first=first)


@converts("RSQRT")
def rsqrt(ctx: Context, op: Operator) -> None:
    """1 / sqrt(x)."""
    x, first = ctx.tensors.any(op)
    root = ctx.build.node("Sqrt", [x])
    ctx.tensors.put(op, ctx.build.node("Reciprocal", [root], name=ctx.tensors.title(op)), first=first)


def broadcastable(array: NDArray[Any], first: bool, rank: int) -> NDArray[Any]:
    """A constant in the file's order of axes, laid out for a tensor that is channels-first."""
    if not first or array.ndim == 0 or (array.size == 1 and array.ndim < rank):
        return array
    wide = array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(TO_FIRST)
    while wide.ndim > 1 and wide.shape[0] == 1:
        wide = wide[0]
    return wide


@converts(*_PAIRS)
def pair(ctx: Context, op: Operator) -> None:
    """Two operands, broadcast as in numpy."""
    tensors, build = ctx.tensors, ctx.build
    ranks = [len(tensors.shape(op, i)) for i in (0, 1)]
    constant = [tensors.is_const(op, i) for i in (0, 1)]
    computed = [i for i in (0, 1) if not constant[i]]
    first = any(tensors.is_first(op, i) for i in computed) and all(ranks[i] == 4 for i in computed)
    names = []
    for i in (0, 1):
        if not constant[i]:
            names.append(tensors.first(op, i) if first else tensors.plain(op, i))
        elif tensors.of(op, i).dtype.kind in "iub" and tensors.of(op, i).quantization is None:
            names.append(build.constant(broadcastable(tensors.const(op, i, "operand"), first, max(ranks))))
        else:
            names.append(build.constant(broadcastable(tensors.real_const(op, i, "operand"), first, max(ranks))))
    y = build.node(_PAIRS[op.op], names, name=tensors.title(op))
    if op.op == "MUL" and (nudge := double_rounding(ctx, op)).any():
        y = away_from_zero(ctx, y, nudge)  # this kernel's second rounding is away from 0, not up
    fused = 0
    if op.op in ("ADD", "SUB", "MUL", "DIV"):
        fused = int(option(ctx, op, "FusedActivationFunction", 0))
    tensors.put(op, activation(ctx, op, y, fused), first=first)


@converts("PRELU")
def prelu(ctx: Context, op: Operator) -> None:
    """PRelu with a constant slope that broadcasts."""
    x, first = ctx.tensors.any(op)
    slope = broadcastable(ctx.tensors.real_const(op, 1, "slope"), first, len(ctx.tensors.shape(op)))
    inputs = [x, ctx.build.constant(slope, "slope")]
    ctx.tensors.put(op, ctx.build.node("PRelu", inputs, name=ctx.tensors.title(op)), first=first)


@converts("SOFTMAX", "LOG_SOFTMAX")
def softmax(ctx: Context, op: Operator) -> None:
    """Over the last axis of the file's order."""
    x, first = ctx.tensors.any(op)
    axis = 1 if first else -1
    if op.op == "LOG_SOFTMAX":
        y = ctx.build.node("LogSoftmax", [x], name=ctx.tensors.title(op), axis=axis)
    else:
        beta = float(option(ctx, op, "Beta", 1.0))
        if beta != 1.0:
            x = ctx.build.node("Mul", [x, ctx.build.constant(np.float32(beta), "beta")])
        y = ctx.build.node("Softmax", [x], name=ctx.tensors.title(op), axis=axis)
    ctx.tensors.put(op, y, first=first)


@converts("QUANTIZE", "DEQUANTIZE")
def requantize(ctx: Context, op: Operator) -> None:
    """Float to levels, levels to float, levels to other levels: values are floats here, rounded where levels are."""
    if ctx.tensors.is_const(op, 0) and ctx.tensors.out(op).quantization is None:  # weights stored as float16 or int8
        ctx.tensors.fold(op, ctx.tensors.real_const(op, 0, "input"))
        return
    x, first = ctx.tensors.any(op)
    exact = ctx.tensors.out(op).quantization is not None and same_levels(ctx, op)
    ctx.tensors.put(op, x, first=first, exact=exact)


@converts("CAST")
def cast(ctx: Context, op: Operator) -> None:
    """Between float32, int32, int64 and bool."""
    target = ctx.tensors.out(op).dtype
    if target not in _CASTS or ctx.tensors.out(op).quantization is not None:
        raise ctx.tensors.fail(op, f"it casts to {target}; float32, int32, int64 and bool are supported")
    x, first = ctx.tensors.any(op)
    y = ctx.build.node("Cast", [x], name=ctx.tensors.title(op), to=_CASTS[target])
    ctx.tensors.put(op, y, first=first)
