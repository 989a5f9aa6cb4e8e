"""How a Level layer reads a tensor of k-bit levels: `u = clip(rint(x * gain + offset), 0, 2^bits - 1)`, exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .graph import ModelGraph
from .signals import MAX_BITS, Levels, Rounded


@dataclass(frozen=True)
class LevelInput:
    """`tensor` read with gain and offset gives u = q - base for the levels q of a `Levels`."""

    tensor: str
    gain: float
    offset: float
    base: int
    bits: int
    clip: tuple[int, int] | None  # the tensor must be clipped first: fewer levels than 2^bits
    behind_path: bool  # the tensor lies in front of the levels' path, which it must follow

    def pad(self, q: float) -> np.float32:
        """The value of the tensor that is read as level q."""
        return np.float32((q - self.base - self.offset) / self.gain)


def level_input(graph: ModelGraph, levels: Levels) -> LevelInput | None:
    """None when the levels need more than 8 bits.

    Rounding is half to even, so `rint(x + offset)` is `rint(x) + offset` for even offsets only: `base` has the parity
    that makes it even.
    """
    origin = levels.origin
    shift = levels.shift if isinstance(origin, Rounded) else 0
    base = levels.low - ((levels.low - shift) % 2)
    bits = max((levels.high - base).bit_length(), 1)
    if bits > MAX_BITS:
        return None
    if not isinstance(origin, Rounded):
        # scale * q is off by half a unit in the last place; times 1/scale it still rounds to q.
        return LevelInput(levels.tensor, float(np.float32(1 / levels.scale)), float(-base), base, bits, None, False)
    full = levels.low == base and levels.high - base == (1 << bits) - 1
    clip = None if full else (origin.low, origin.high)
    found = LevelInput(origin.root, 1.0, float(shift - base), base, bits, clip, True)
    return found if clip is not None else _absorbed(graph, found)


def _absorbed(graph: ModelGraph, found: LevelInput) -> LevelInput:
    """Takes a Mul and an Add in front of the rounding over as gain and offset: the same two float32 operations."""
    tensor, gain, offset = found.tensor, found.gain, found.offset
    node = graph.producer.get(tensor)
    if offset == 0 and node is not None and node.op_type == "Add" and (c := _scalar(graph, node.input[1])) is not None:
        tensor, offset = node.input[0], c
        node = graph.producer.get(tensor)
    if node is not None and node.op_type in ("Mul", "Div") and (c := _scalar(graph, node.input[1])) is not None:
        power_of_two = np.frexp(c)[0] == 0.5 and 2.0**-100 < c < 2.0**100
        if c > 0 and (node.op_type == "Mul" or power_of_two):  # x / c is x * (1 / c) for powers of two
            tensor, gain = node.input[0], c if node.op_type == "Mul" else 1 / c
    if not graph.is_float(tensor) or graph.shape(tensor) != graph.shape(found.tensor) or graph.is_constant(tensor):
        return found
    return replace(found, tensor=tensor, gain=gain, offset=offset)


def _scalar(graph: ModelGraph, name: str) -> float | None:
    value = graph.value(name) if graph.is_constant(name) else None
    if value is None or value.dtype != np.float32 or value.size != 1 or not np.isfinite(value).all():
        return None
    return float(value.reshape(()))
