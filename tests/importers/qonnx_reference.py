"""QONNX's operators written independently of the importer, as operators of onnx's reference evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from tests.compiler.graphs import Array

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


def rounded(x: Array, mode: str) -> Array:
    sign, size = np.sign(x), np.abs(x)
    return {
        "ROUND": lambda: np.round(x),
        "HALF_EVEN": lambda: np.round(x),
        "CEIL": lambda: np.ceil(x),
        "FLOOR": lambda: np.floor(x),
        "UP": lambda: sign * np.ceil(size),
        "DOWN": lambda: np.fix(x),
        "HALF_UP": lambda: sign * np.floor(size + np.float32(0.5)),
        "HALF_DOWN": lambda: sign * np.ceil(size - np.float32(0.5)),
    }[mode]()


def bounds(bits: int, signed: int, narrow: int) -> tuple[int, int]:
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def bipolar_quant(x: Array, scale: Array) -> Array:
    return (np.where(x >= 0, 1, -1) * scale).astype(np.float32)


def quant(x: Array, scale: Array, zero: Array, bits: Array, *, signed: int, narrow: int, mode: str) -> Array:
    y = x / scale + zero
    if int(bits) == 1 and signed:
        y = np.where(y >= 0, np.float32(1), np.float32(-1))
    else:
        y = rounded(np.clip(y, *bounds(int(bits), signed, narrow)), mode)
    return ((y - zero) * scale).astype(np.float32)


def multi_threshold(x: Array, thresholds: Array, scale: float, bias: float, axis: int) -> Array:
    """Counts in a loop."""
    moved = np.moveaxis(x, axis, -1)
    count = np.zeros(moved.shape, np.float32)
    for step in range(thresholds.shape[1]):
        count += moved >= thresholds[:, step]
    return (np.float32(scale) * np.moveaxis(count, -1, axis) + np.float32(bias)).astype(np.float32)


def _operators(domain: str) -> list[type[OpRun]]:
    class BipolarQuant(OpRun):
        op_domain = domain

        def _run(self, x: Array, scale: Array) -> Any:
            return (bipolar_quant(x, scale),)

    class Quant(OpRun):
        op_domain = domain

        def _run(self, *inputs: Array, signed: int = 1, narrow: int = 0, rounding_mode: str = "ROUND") -> Any:
            return (quant(*inputs, signed=signed, narrow=narrow, mode=rounding_mode),)

    class MultiThreshold(OpRun):
        op_domain = domain

        def _run(self, x: Array, thresholds: Array, **attributes: Any) -> Any:
            layout = attributes.get("data_layout") or "NC"
            scale, bias = (attributes.get(name) for name in ("out_scale", "out_bias"))
            scale, bias = 1.0 if scale is None else scale, 0.0 if bias is None else bias
            return (multi_threshold(x, thresholds, scale, bias, layout.index("C")),)

    return [BipolarQuant, Quant, MultiThreshold]


def evaluate(model: onnx.ModelProto, x: Array) -> list[Array]:
    """The outputs of a QONNX model."""
    operators = [op for domain in DOMAINS for op in _operators(domain)]
    session = ReferenceEvaluator(model, new_ops=operators)
    return [np.asarray(o) for o in session.run(None, {session.input_names[0]: x})]
