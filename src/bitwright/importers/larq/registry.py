"""Converters of operators by name, and what several of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..build import GraphBuilder
from ..imported import Finding
from .reader import Network, Operator
from .tensors import Tensors

Converter = Callable[["Context", Operator], None]
CONVERTERS: dict[str, Converter] = {}
SAME, VALID = 0, 1  # the schema's Padding


@dataclass
class Context:
    """What a converter works with."""

    network: Network
    build: GraphBuilder
    tensors: Tensors
    findings: list[Finding] = field(default_factory=list)
    early: bool = False  # the early form of Larq's operators, see `binary`


def converts(*names: str) -> Callable[[Converter], Converter]:
    """Registers the converter of operators."""

    def register(converter: Converter) -> Converter:
        for name in names:
            CONVERTERS[name] = converter
        return converter

    return register


def option(ctx: Context, op: Operator, name: str, default: Any = None) -> Any:
    """A builtin option by its name in the schema; `default` where the file has no options."""
    if op.table is None:
        if default is None:
            raise ctx.tensors.fail(op, f"its options are missing, so its {name} is unknown")
        return default
    getter = getattr(op.table, name, None)
    if getter is None:
        raise ctx.tensors.fail(op, f"its options are {type(op.table).__name__}, which have no {name}")
    return getter()


def activation(ctx: Context, op: Operator, x: str, number: int) -> str:
    """The fused activation function behind x."""
    build = ctx.build
    if number == 0:
        return x
    if number == 1:
        return build.node("Relu", [x])
    if number in (2, 3):
        low, high = (-1.0, 1.0) if number == 2 else (0.0, 6.0)
        return clip(build, x, low, high)
    if number == 4:
        return build.node("Tanh", [x])
    raise ctx.tensors.fail(op, f"its fused activation is {number}; none, relu, relu_n1_to_1, relu6, tanh are supported")


def clip(build: GraphBuilder, x: str, low: float, high: float) -> str:
    """min(max(x, low), high)."""
    bounds = [build.constant(np.float32(v), "bound") for v in (low, high)]
    return build.node("Clip", [x, *bounds])


def same_pads(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """TensorFlow's SAME padding as ONNX pads (all begins, then all ends): the odd pixel goes to the end."""
    totals = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        totals.append(max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0))
    return [t // 2 for t in totals] + [t - t // 2 for t in totals]


def window_pads(ctx: Context, op: Operator, padding: int, kernel: Sequence[int], stride: Sequence[int],
                dilation: Sequence[int] = (1, 1)) -> list[int]:  # fmt: skip
    """The pads of a 2-D window over input 0, with all numbers checked."""
    shape = ctx.tensors.shape(op)
    if len(shape) != 4:
        raise ctx.tensors.fail(op, f"its input has the shape {list(shape)}; a map [N, H, W, C] is needed")
    if min(*kernel, *stride, *dilation) < 1 or max(*kernel, *stride, *dilation) > 1 << 16:
        raise ctx.tensors.fail(op, f"kernel {list(kernel)}, stride {list(stride)}, dilation {list(dilation)}")
    if padding not in (SAME, VALID):
        raise ctx.tensors.fail(op, f"its padding is {padding}; 0 is same, 1 is valid")
    return [0, 0, 0, 0] if padding == VALID else same_pads(shape[1:3], kernel, stride, dilation)
