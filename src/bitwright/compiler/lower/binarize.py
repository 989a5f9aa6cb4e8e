"""The binarization of a map: in front of a binary layer, or as a node of its own (`Binarize`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import Unsupported
from ..graph import DIALECT, Node
from ..packing import pack_bits
from ..program import Const, DType, Map, Step, StepKind, Value
from ..view import View
from .context import Context, affine, lowers, scalar_or_const

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Levels:
    """Where a map of two levels came from: its element is 1 where `(source >= threshold) xor flip`, else `low`."""

    source: Value
    threshold: F32  # 1 or C elements; NaN: never >=
    flip: Bools  # as many
    low: float

    def at(self, threshold: F32) -> tuple[F32, Bools]:
        """(threshold, flip) on `source` of the bit `map >= threshold`.

        A threshold in (low, 1] tells the two levels apart, so it is the map's own bit. One that is not above `low` is
        passed by both levels, one above 1 by none: a constant bit, also where the source is NaN.
        """
        passes, fails = threshold <= self.low, threshold > 1
        own = ~(passes | fails)
        return np.where(own, self.threshold, np.float32(np.nan)), np.where(own, self.flip, passes)


def level(node: Node) -> float:
    """The attribute `low`: -1 or 0."""
    low = float(node.attrs.get("low", -1.0))
    if low not in (-1.0, 0.0):
        raise Unsupported(f"its lower level is {low:g}.", "It must be -1 or 0.")
    return low


def _source(ctx: Context, value: Value, threshold: F32) -> tuple[Value, F32, Bools]:
    """(source, threshold, flip) such that `value >= threshold` is `(source >= threshold) xor flip`: what a map of two
    levels was made of, or the value itself.
    """
    levels = ctx.levels.get(id(value))
    if levels is None:
        return value, threshold, np.zeros(1, dtype=np.bool_)
    return (levels.source, *levels.at(threshold))


def binarize(ctx: Context, view: View, threshold: F32, groups: int, node: Node) -> Value:
    """Emits the bits `view >= threshold`; `threshold` has 1 or C elements, in the value's own order."""
    value, threshold, flip = _source(ctx, view.value, threshold)
    bits = Value(DType.BITS, value.dims, groups)
    if value.meaning is not None:
        bits.meaning = replace(value.meaning, threshold=threshold, flip=flip if flip.any() else None)
    step = Step(StepKind.STORE_BITS, bits)
    step.a, step.p0 = scalar_or_const(np.broadcast_to(threshold, value.channels))
    if flip.any():
        step.b = Const(pack_bits(np.broadcast_to(flip, value.channels)))
    ctx.emit(Map(f"{node.name}.binarize", value, [step]), node)
    return bits


def quantize(ctx: Context, view: View, gain: F32, offset: F32, planes: int, groups: int, node: Node) -> Value:
    """Emits the levels `rint(view * gain + offset)`; both have 1 or C elements, in the value's own order."""
    value = view.value
    bits = Value(DType.BITS, value.dims, groups, planes=planes)
    if value.meaning is not None:
        bits.meaning = replace(value.meaning, threshold=None, flip=None, gain=gain, offset=offset)
    step = Step(StepKind.STORE_LEVELS, bits, n=planes)
    step.a, step.p0 = scalar_or_const(np.broadcast_to(gain, value.channels))
    step.b, step.p1 = scalar_or_const(np.broadcast_to(offset, value.channels))
    ctx.emit(Map(f"{node.name}.levels", value, [step]), node)
    return bits


@lowers("Binarize", domain=DIALECT)
def binarize_node(ctx: Context, node: Node) -> None:
    """Binarize -> MAP(STORE_BITS), and a MAP of the bits to the two levels for those who read floats.

    Binary layers do not: they take their bits from the map in front (`Levels`), and the second MAP is dropped if it
    has no other reader.
    """
    view = ctx.view(node)
    if view.value.dtype is not DType.F32:
        raise Unsupported("its input is an integer tensor.", "Only BinaryEmbedding reads integers.")
    low, axis = level(node), int(node.attrs["axis"])
    data = ctx.floats(node, 1, "threshold").reshape(-1)
    position = axis + (view.rank if axis < 0 else 0)
    if not 0 < position < view.rank:
        raise Unsupported(f"axis {axis} is the batch or out of range for rank {view.rank}.")
    if data.size not in (1, view.shape[position - 1]):
        raise Unsupported(f"its threshold has {data.size} elements, its input is {['N', *view.shape]}.")
    column = data.reshape(-1, *[1] * (view.rank - 1 - position))
    view, const, scalar = ctx.channel_const(view, column, "threshold")
    threshold = np.full(1, scalar, dtype=np.float32) if const is None else const.data
    bits = binarize(ctx, view, threshold, 1, node)
    store, result = ctx.store(view.value.dims, view.axes, node, view.order)
    assert store.value is not None
    if view.order is not None and view.value.meaning is not None:
        store.value.meaning = replace(view.value.meaning, tensor=node.outputs[0])
    half = np.full(1, 0.5, dtype=np.float32)
    # bits are read as -1 and 1
    ctx.emit(Map(node.name, bits, [*(affine(half, half) if low == 0 else []), store]), node)
    ctx.levels[id(store.value)] = Levels(*_source(ctx, view.value, threshold), low)
    ctx.result(node, result)
