"""BipolarQuant, Quant (IntQuant) and Trunc: of constants computed at once, of activations in standard operators.

The order of the float32 operations is that of the reference; what `patterns` then recognises of it, it proves itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitwright.compiler.dialect import BinarizeAttrs

from ..imported import Finding
from ..patterns.recognise import Walk
from .reading import Reading

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Range:
    """Integers of a bit width."""

    bits: int
    signed: bool
    narrow: bool

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) + int(self.narrow) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1 - int(self.narrow)


class _Maker:
    """Writes the operations once, for numpy and for a graph."""

    def __init__(self, walk: Walk, x: Any, hint: str) -> None:
        self.walk, self.x, self.hint = walk, x, hint

    def op(self, op: str, *constants: Any) -> None:
        """x = op(x, constants); numbers become float32."""
        graph = self.walk.graph
        values = [np.asarray(c, dtype=np.float32) for c in constants]
        if isinstance(self.x, np.ndarray):
            with np.errstate(all="ignore"):
                self.x = np.asarray(_NUMPY[op](self.x, *values), dtype=np.float32)
            return
        names = [graph.constant(value, f"{self.hint}.{op.lower()}") for value in values]
        self.x = graph.add(op, [self.x, *names], hint=f"{self.hint}.{op.lower()}")

    def signed(self, magnitude: Callable[[_Maker], None]) -> None:
        """x = sign(x) * magnitude(|x|)."""
        other = _Maker(self.walk, self.x, self.hint)
        other.op("Abs")
        magnitude(other)
        self.op("Sign")
        if isinstance(self.x, np.ndarray):
            self.x = self.x * other.x
        else:
            self.x = self.walk.graph.add("Mul", [self.x, other.x], hint=f"{self.hint}.rounded")


_NUMPY: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Round": np.rint,
    "Ceil": np.ceil,
    "Floor": np.floor,
    "Abs": np.abs,
    "Sign": np.sign,
    "Clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
}


def _half_up(m: _Maker) -> None:
    m.op("Add", 0.5)
    m.op("Floor")


def _half_down(m: _Maker) -> None:
    m.op("Sub", 0.5)
    m.op("Ceil")


_ROUNDING: dict[str, Callable[[_Maker], None]] = {
    "ROUND": lambda m: m.op("Round"),
    "HALF_EVEN": lambda m: m.op("Round"),
    "CEIL": lambda m: m.op("Ceil"),
    "FLOOR": lambda m: m.op("Floor"),
    "UP": lambda m: m.signed(lambda a: a.op("Ceil")),
    "DOWN": lambda m: m.signed(lambda a: a.op("Floor")),
    "HALF_UP": lambda m: m.signed(_half_up),
    "HALF_DOWN": lambda m: m.signed(_half_down),
}


def _rounding(reading: Reading, default: str) -> Callable[[_Maker], None]:
    mode = reading.text("rounding_mode", default).upper()
    if mode not in _ROUNDING:
        raise reading.error(f"has rounding_mode {mode!r}; known are {', '.join(_ROUNDING)}")
    return _ROUNDING[mode]


def _start(walk: Walk, reading: Reading) -> _Maker:
    name = reading.node.input[0]
    if not walk.graph.is_constant(name):
        return _Maker(walk, name, reading.output)
    value = walk.graph.value(name)
    if value is None:
        raise reading.error(f"quantizes {name!r}, a constant that cannot be computed")
    return _Maker(walk, np.asarray(value, dtype=np.float32), reading.output)


def _done(walk: Walk, reading: Reading, m: _Maker, what: str, became: str) -> None:
    """Gives the result the node's output name; activations are told."""
    if isinstance(m.x, np.ndarray):
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(m.x).reshape(m.x.shape))
        walk.graph.emit(onnx.helper.make_node("Constant", [], [reading.output], name=reading.output, value=tensor))
        return
    walk.graph.add("Identity", [m.x], output=reading.output)
    walk.findings.append(Finding(reading.name, what, became))
    walk.layers.told.add(reading.output)


def bipolar_quant(walk: Walk, node: onnx.NodeProto) -> None:
    """scale * (x >= 0 ? 1 : -1)."""
    reading = Reading(walk.graph, node, (2,))
    m = _start(walk, reading)
    if isinstance(m.x, np.ndarray):
        scale = reading.constant(1, "scale")
        m.x = np.where(m.x >= 0, np.float32(1), np.float32(-1))
        m.op("Mul", scale)
        _done(walk, reading, m, "", "")
        return
    scale = reading.scale(1)
    reading.check_broadcast(m.x, [scale])
    _sign(walk, m)
    if np.any(scale != 1):
        m.op("Mul", scale)
    _done(walk, reading, m, "BipolarQuant", f"±{_span(scale)} from 0 on")


def _sign(walk: Walk, m: _Maker) -> None:
    """x = x >= 0 ? 1 : -1."""
    if isinstance(m.x, np.ndarray):
        m.x = np.where(m.x >= 0, np.float32(1), np.float32(-1))
        return
    zero = walk.graph.constant(np.zeros(1, np.float32), f"{m.hint}.threshold")
    m.x = walk.graph.add_dialect(BinarizeAttrs(low=-1.0, axis=-1), [m.x, zero], hint=f"{m.hint}.bits")


def quant(walk: Walk, node: onnx.NodeProto) -> None:
    """(round(clip(x / scale + zero_point)) - zero_point) * scale; of one signed bit: the sign."""
    reading = Reading(walk.graph, node, (4,))
    m = _start(walk, reading)
    constant = isinstance(m.x, np.ndarray)
    scale, zero = reading.scale(1), reading.constant(2, "zero point")
    kind = _Range(reading.bit_width(3), reading.flag("signed", 1), reading.flag("narrow", 0))
    rounding = _rounding(reading, "ROUND")
    if kind.bits == 1 and kind.narrow and not kind.signed:
        raise reading.error("is narrow, unsigned and of 1 bit: it has one level only")
    if not constant:
        reading.check_broadcast(m.x, [scale, zero])
    if np.any(scale != 1):
        m.op("Div", scale)
    if np.any(zero != 0):
        m.op("Add", zero)
    if kind.bits == 1 and kind.signed:
        _sign(walk, m)
        levels = "±1"
    else:
        m.op("Clip", np.float32(kind.low), np.float32(kind.high))
        rounding(m)
        levels = f"{kind.low}..{kind.high}"
    if np.any(zero != 0):
        m.op("Sub", zero)
    if np.any(scale != 1):
        m.op("Mul", scale)
    if constant and kind.bits > 1:
        walk.findings.append(Finding(reading.name, f"Quant of a weight, {kind.bits} bits", "float weights"))
    moved = f" - {_span(zero)}" if np.any(zero != 0) else ""
    _done(
        walk,
        reading,
        m,
        f"Quant, {kind.bits} bit{'s' if kind.bits > 1 else ''}",
        f"levels {levels}{moved}, x {_span(scale)}",
    )


def trunc(walk: Walk, node: onnx.NodeProto) -> None:
    """Drops low bits of an integer: both versions of the operator (5 inputs, or 6 with an output scale)."""
    reading = Reading(walk.graph, node, (5, 6))
    m = _start(walk, reading)
    scale, zero = reading.scale(1), reading.constant(2, "zero point")
    bits = reading.bit_width(3, "input bit width")
    rounding = _rounding(reading, "FLOOR")
    kind = None
    if len(node.input) == 5:
        out_bits = reading.bit_width(4, "output bit width")
        factor = np.float32(2.0 ** (bits - out_bits))
        out_scale, out_zero = scale, zero
    else:
        out_scale, out_bits = reading.scale(4, "output scale"), reading.bit_width(5, "output bit width")
        factor = np.asarray(np.exp2(np.rint(np.log2(out_scale / scale))), np.float32)
        kind = _Range(out_bits, reading.flag("signed", 1), reading.flag("narrow", 0))
        out_zero = zero / factor
    if not isinstance(m.x, np.ndarray):
        reading.check_broadcast(m.x, [scale, zero, out_scale])
    m.op("Div", scale)
    m.op("Add", zero)
    m.op("Round")
    m.op("Div", factor)
    if kind is not None:
        m.op("Clip", np.float32(kind.low), np.float32(kind.high))
    rounding(m)
    m.op("Sub", out_zero)
    m.op("Mul", out_scale)
    _done(walk, reading, m, f"Trunc, {bits} to {out_bits} bits", "standard operators on floats")


def _span(values: F32) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"
