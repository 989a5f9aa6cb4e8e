"""Which tensors hold few levels, and from which float on they step: what a binary layer can take as bits.

Nothing is guessed: a tensor counts as binary when the operators that make it cannot yield anything else, or when the
integers that reach it are enumerated and none is an exception (`reachable.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitwright.compiler.dialect import DOMAIN, BinarizeAttrs

from .constants import node_attributes
from .elementwise import MAX_STEPS, Curve, extend, from_keys
from .graph import ModelGraph
from .reachable import reachable

Array = NDArray[Any]
_CONSTANT_LIMIT = 1 << 16
"""Elements of a constant in an elementwise operator; larger ones are no thresholds."""
_SELECTING = {
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Slice", "MaxPool",
    "GlobalMaxPool", "DepthToSpace", "SpaceToDepth", "Gather",
}  # fmt: skip
"""Operators whose output elements are elements of input 0; a maximum is one, too."""
_MOVES = {"Add", "Sub", "Mul", "Div"}
MAX_BITS = 8


@dataclass(frozen=True)
class Bits:
    """A tensor whose element is its upper level where `(root >= threshold) xor falling`."""

    tensor: str
    root: str
    threshold: NDArray[np.float32]  # broadcasts with the root; rising channels: from here on up, falling: below
    falling: NDArray[np.bool_]
    nan_is_upper: bool


@dataclass(frozen=True)
class Rounded:
    """A tensor `clip(rint(root), low, high)` of integers, before any scale and shift."""

    root: str
    low: int
    high: int


@dataclass(frozen=True)
class Levels:
    """A tensor that holds `scale * q` for integers q from `low` to `high` (of two levels -1 and 1, or 0 and 1).

    `origin` makes the levels; `path` holds the nodes that only select elements between it and the tensor. Without an
    origin the levels are read from the tensor itself. `shift` is what was added to the origin's integers.
    """

    tensor: str
    scale: float
    low: int
    high: int
    origin: Bits | Rounded | None = None
    shift: int = 0
    path: tuple[onnx.NodeProto, ...] = ()

    @property
    def binary(self) -> bool:
        """Two levels, ±1 or {0, 1}."""
        return (self.low, self.high) in ((-1, 1), (0, 1)) and not self.ternary

    @property
    def ternary(self) -> bool:
        """-1, 0 and 1: three levels."""
        return (self.low, self.high) == (-1, 1) and not isinstance(self.origin, Bits)


@dataclass(frozen=True)
class MaybeZero:
    """A tensor that is -scale, 0 or scale, and nothing shows that it is never 0."""

    levels: Levels  # what it is when a zero counts as +scale
    node: onnx.NodeProto  # that yields the zero


class Signals:
    """Facts about the tensors of a `ModelGraph`, in the order in which nodes are emitted."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        self._curves: dict[str, Curve] = {}
        self._levels: dict[str, Levels | MaybeZero | None] = {}
        self._units: dict[str, str] = {}

    def visit(self, node: onnx.NodeProto) -> None:
        """Notes what a node that was just emitted makes."""
        if len([o for o in node.output if o]) != 1 or self.graph.is_constant(node.output[0]):
            return
        if node.domain not in ("", DOMAIN):
            return
        attributes = node_attributes(node)
        inputs: list[Curve | Array | None] = []
        for i, name in enumerate(node.input):
            if not name:
                inputs.append(None)
            elif self.graph.is_constant(name):
                value = self.graph.value(name) if self._is_small(name) else None
                if value is None:
                    return
                if node.domain == DOMAIN and i == 1:
                    value = self._along(value, node.input[0], attributes)
                inputs.append(value)
            else:
                curve = self._curves.get(name)
                if curve is None and not self.graph.is_float(name):
                    return
                inputs.append(curve or Curve(name))
        curve = extend(node, attributes, inputs, self.graph.shape)
        if curve is None and len(inputs) and any(isinstance(i, Curve) for i in inputs):
            # start anew from the float inputs themselves
            fresh = [
                Curve(name) if isinstance(i, Curve) and self.graph.is_float(name) else i
                for name, i in zip(node.input, inputs, strict=True)
            ]
            curve = extend(node, attributes, fresh, self.graph.shape)
        if curve is not None:
            self._curves[node.output[0]] = curve
        if node.op_type in _MOVES and not node.domain:
            self.levels(node.output[0])  # noted now, node by node: a long chain is no deep recursion

    def declare(self, levels: Levels) -> None:
        """Notes what its maker knows of a tensor."""
        self._levels[levels.tensor] = levels

    def _is_small(self, name: str) -> bool:
        shape = self.graph.shape(name)
        return shape is not None and all(isinstance(n, int) for n in shape) and _size(shape) <= _CONSTANT_LIMIT

    def _along(self, threshold: Array, x: str, attributes: dict[str, Any]) -> Array:
        """A Binarize node's threshold in the shape in which it broadcasts with X."""
        shape = self.graph.shape(x)
        if threshold.size == 1 or shape is None:
            return threshold.reshape(-1)
        axis = int(attributes.get("axis", 1)) % len(shape)
        return threshold.reshape(-1, *[1] * (len(shape) - 1 - axis))

    # --- levels

    def levels(self, name: str) -> Levels | MaybeZero | None:
        """What a tensor holds, when it is few levels."""
        waiting: list[onnx.NodeProto] = []
        found: Levels | MaybeZero | None = None
        while True:
            if name in self._levels:
                found = self._levels[name]
                break
            node = self.graph.producer.get(name)
            if node is None or self.graph.is_constant(name):
                break
            found = self._stepped(name, node) or self._rounded(name, node)
            self._levels[name] = found
            if found is not None or not self._selects(node):
                break
            waiting.append(node)
            name = node.input[0]
        for node in reversed(waiting):
            if found is None:
                break
            found = _after(node, found)
            self._levels[node.output[0]] = found
        return found

    def _selects(self, node: onnx.NodeProto) -> bool:
        if node.domain or len([o for o in node.output if o]) != 1:
            return False
        if node.op_type == "Dropout":
            return len(node.input) < 3 or not node.input[2] or self.graph.value(node.input[2]) is False
        if node.op_type == "Pad":
            return node_attributes(node).get("mode", "constant") != "constant"
        return node.op_type in _SELECTING and all(self.graph.is_constant(i) for i in node.input[1:] if i)

    def _stepped(self, name: str, node: onnx.NodeProto) -> Levels | MaybeZero | None:
        """Two levels found by value."""
        curve = self._curves.get(name)
        if curve is None or not curve.quantized or not self.graph.is_float(name) or not self.graph.is_float(curve.root):
            return None
        if not self._one_axis(curve):
            return None
        pieces = curve.split()
        if pieces is None:
            return None
        values = np.unique(np.stack([np.broadcast_to(v, curve.shape) for v in _live(pieces, curve.shape)]))
        if values.dtype != np.float32:
            return None
        scale = float(values.max())
        if not np.isfinite(values).all() or scale <= 0 or not set(values.tolist()) <= {-scale, 0.0, scale}:
            return None
        low = 0 if values.min() >= 0 else -1
        bits = _bits(name, curve, pieces, zero_is_upper=low == -1)
        if bits is None:
            return None
        levels = Levels(name, scale, low, 1, bits)
        if low == 0 or 0.0 not in values.tolist():
            return levels
        if self._never_zero(curve):
            return levels
        sign = self._sign_of(node)
        return None if sign is None else MaybeZero(levels, sign)

    def _never_zero(self, curve: Curve) -> bool:
        """Whether the root is made of integers none of which yields a zero; see `reachable`."""
        values = reachable(self.graph, curve.root)
        if values is None:
            return False
        # Another runtime may round a batch norm otherwise: what comes near a step counts as on it.
        margin = np.abs(values).max(axis=0, keepdims=True) * np.float32(2.0**-22)
        results = [curve(v.astype(np.float32)) for v in (values, values - margin, values + margin)]
        same = np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])
        return same and not np.any(results[0] == 0)

    def _sign_of(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The Sign that yields the zero; None where something else does, such as rounding."""
        here: onnx.NodeProto | None = node
        for _ in range(MAX_STEPS):
            if here is None or here.op_type == "Sign":
                return here
            data = [i for i in here.input if i and not self.graph.is_constant(i)]
            here = self.graph.producer.get(data[0]) if data else None
        return None

    def _one_axis(self, curve: Curve) -> bool:
        """Whether the constants vary along one axis at most, which is not the batch."""
        wide = [i - len(curve.shape) for i, n in enumerate(curve.shape) if n != 1]
        if not wide:
            return True
        shape = self.graph.shape(curve.root)
        return len(wide) == 1 and shape is not None and wide[0] + len(shape) > 0

    def _rounded(self, name: str, node: onnx.NodeProto) -> Levels | None:
        """Integers between bounds: Round and Clip in either order, then shifts and scales."""
        if node.domain or not node.input or not self.graph.is_float(name):
            return None
        before = self.graph.producer.get(node.input[0])
        if node.op_type in ("Round", "Floor", "Ceil") and before is not None:
            bounds = self._bounds(before)
            if bounds is None:
                return None
            origin = Rounded(before.input[0], *bounds) if node.op_type == "Round" else None
            return _limited(Levels(name, 1.0, *bounds, origin))
        if node.op_type == "Clip" and before is not None and before.op_type in ("Round", "Floor", "Ceil"):
            bounds = self._bounds(node)
            if bounds is None:
                return None
            origin = Rounded(before.input[0], *bounds) if before.op_type == "Round" else None
            return _limited(Levels(name, 1.0, *bounds, origin))
        if node.op_type in _MOVES:
            return self._moved(name, node)
        return None

    def _bounds(self, node: onnx.NodeProto) -> tuple[int, int] | None:
        """Integer bounds of a Clip."""
        if node.domain or node.op_type != "Clip" or len(node.input) < 3:
            return None
        found = []
        for i in (1, 2):
            value = self.graph.value(node.input[i])
            if value is None or value.size != 1 or not float(value.reshape(())).is_integer():
                return None
            found.append(int(value.reshape(())))
        return (found[0], found[1]) if found[0] < found[1] and found[1] - found[0] < 1 << MAX_BITS else None

    def _moved(self, name: str, node: onnx.NodeProto) -> Levels | None:
        """Levels times or plus a constant."""
        position = next((i for i in (0, 1) if self.graph.is_constant(node.input[i])), None)
        if position is None or (position == 0 and node.op_type in ("Sub", "Div")):
            return None
        value = self.graph.value(node.input[position])
        if value is None or value.size != 1:
            return None
        inner = self.levels(node.input[1 - position])
        if not isinstance(inner, Levels) or inner.path or isinstance(inner.origin, Bits):
            return None
        c = float(value.reshape(()))
        if not np.isfinite(c) or self.graph.shape(name) != self.graph.shape(inner.tensor):
            return None
        if node.op_type in ("Mul", "Div"):
            scale = inner.scale * c if node.op_type == "Mul" else (inner.scale / c if c else 0.0)
            return (
                replace(inner, tensor=name, scale=float(np.float32(scale))) if 0 < np.float32(scale) < np.inf else None
            )
        steps = c / inner.scale * (1 if node.op_type == "Add" else -1)
        if not steps.is_integer() or abs(steps) > 1 << 16:
            return None
        n = int(steps)
        return replace(inner, tensor=name, low=inner.low + n, high=inner.high + n, shift=inner.shift + n)

    # --- the bits as tensors

    def unit(self, levels: Levels) -> str:
        """The tensor of ±1 or {0, 1} of two levels that `Bits` makes, as a Binarize node, with `levels.path` behind it.

        The node that made the levels is replaced too, for its other readers.
        """
        origin = levels.origin
        assert isinstance(origin, Bits)
        unit = self._units.get(origin.tensor)
        if unit is None:
            unit = self._units[origin.tensor] = self._binarize(origin, levels)
        return self.along_path(unit, levels.path)

    def _binarize(self, bits: Bits, levels: Levels) -> str:
        graph = self.graph
        scaled = levels.scale != 1
        with graph.instead_of(bits.tensor):
            x, threshold = bits.root, bits.threshold
            if bits.falling.any():
                signs = np.where(bits.falling, np.float32(-1), np.float32(1))
                x = graph.add(
                    "Mul", [x, graph.constant(signs, f"{bits.tensor}.direction")], hint=f"{bits.tensor}.turned"
                )
                threshold = turned(bits)
            axis = wide_axis(threshold)
            attrs = BinarizeAttrs(low=float(levels.low), axis=axis)
            name = graph.constant(threshold.reshape(-1), f"{bits.tensor}.threshold")
            unit = graph.add_dialect(
                attrs, [x, name], output=graph.fresh(f"{bits.tensor}.bits") if scaled else bits.tensor
            )
            if scaled:
                factor = graph.constant(np.float32(levels.scale), f"{bits.tensor}.scale")
                graph.add("Mul", [unit, factor], output=bits.tensor)
        return unit

    def along_path(self, tensor: str, path: tuple[onnx.NodeProto, ...]) -> str:
        """The selecting nodes of a path, for another tensor at its start."""
        for node in path:
            key = f"{tensor}\0{node.output[0]}"
            if node.input[0] == tensor:
                tensor = node.output[0]
                continue
            if key not in self._units:
                twin = onnx.NodeProto()
                twin.CopyFrom(node)
                twin.input[0] = tensor
                twin.output[0] = self.graph.fresh(f"{node.output[0]}.bits")
                twin.name = twin.output[0]
                self.graph.emit(twin)
                self._units[key] = twin.output[0]
            tensor = self._units[key]
        return tensor


def turned(bits: Bits) -> NDArray[np.float32]:
    """Thresholds for the root with its falling channels negated: x < t is -x >= the float above -t."""
    above = np.nextafter(-bits.threshold, np.float32(np.inf))
    return np.where(bits.falling, above, bits.threshold).astype(np.float32)


def wide_axis(threshold: Array) -> int:
    """The axis, counted from the end, along which a threshold varies; -1 for a single one."""
    return next((i - threshold.ndim for i, n in enumerate(threshold.shape) if n != 1), -1)


def _after(node: onnx.NodeProto, found: Levels | MaybeZero) -> Levels | MaybeZero:
    if isinstance(found, MaybeZero):
        return replace(found, levels=_after_levels(node, found.levels))
    return _after_levels(node, found)


def _after_levels(node: onnx.NodeProto, found: Levels) -> Levels:
    return replace(found, tensor=node.output[0], path=(*found.path, node))


def _limited(levels: Levels) -> Levels | None:
    return levels if levels.high - levels.low < 1 << MAX_BITS else None


def _live(pieces: tuple[tuple[Array, Array], ...], shape: tuple[int, ...]) -> list[Array]:
    """Values of the pieces, where an empty piece (it ends where it begins) has its successor's value."""
    values = [np.broadcast_to(pieces[-1][1], shape)]
    for (start, value), (end, _) in zip(reversed(pieces[:-1]), reversed(pieces[1:]), strict=True):
        values.append(np.where(end > start, value, values[-1]))
    return values[::-1]


def _bits(name: str, curve: Curve, pieces: tuple[tuple[Array, Array], ...], *, zero_is_upper: bool) -> Bits | None:
    """The one step of a function of two levels (with a zero between them taken as the upper); None with more steps."""
    upper = [v > 0 if not zero_is_upper else v >= 0 for v in _live(pieces, curve.shape)]
    starts = [np.broadcast_to(k, curve.shape) for k, _ in pieces]
    falling = upper[0] & ~upper[-1]
    changes = np.zeros(curve.shape, np.int64)
    step = starts[0]
    for before, after, start in zip(upper, upper[1:], starts[1:], strict=False):
        changed = before != after
        changes = changes + changed
        step = np.where(changed, start, step)
    if np.any(changes > 1):
        return None
    threshold = from_keys(step)
    threshold = np.where(threshold == 0, np.float32(0), threshold)  # -0.0 and 0.0 compare alike
    constant = changes == 0
    threshold = np.where(constant, np.where(upper[0], np.float32(-np.inf), np.float32(np.inf)), threshold)
    at_nan = curve(np.full(curve.shape, np.nan, np.float32))
    nan_is_upper = bool(np.any(at_nan > 0)) if at_nan.dtype.kind == "f" else False
    return Bits(name, curve.root, threshold.astype(np.float32), falling & ~constant, nan_is_upper)


def _size(shape: tuple[Any, ...]) -> int:
    return int(np.prod(np.array(shape, dtype=np.float64))) if shape else 1


__all__ = ["Bits", "Levels", "MaybeZero", "Rounded", "Signals", "turned", "wide_axis"]
