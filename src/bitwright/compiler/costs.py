"""What an op costs: multiply-accumulates by precision, and bytes in the file."""

from __future__ import annotations

import math
from typing import NamedTuple

from .program import BConv, Copy, Embed, FConv, Op, QConv


class Macs(NamedTuple):
    """Multiply-accumulates by precision."""

    binary: int = 0
    floating: int = 0
    int8: int = 0


def macs(op: Op) -> Macs:
    """Multiply-accumulates for one sample. Only products with weights count; taps in the padding do too."""
    if isinstance(op, (BConv, FConv, QConv)):
        g = op.geometry
        if g.transposed:  # each input pixel meets each tap once
            pixels = op.inp.pixels
        else:
            pixels = math.prod(op.out)
        n = pixels * op.out_channels * g.taps * (op.inp.channels // g.groups)
        return Macs(binary=n) if isinstance(op, BConv) else Macs(int8=n) if isinstance(op, QConv) else Macs(floating=n)
    return Macs()


def weight_bytes(op: Op) -> int:
    """Bytes of the op's weights in the file."""
    return op.weight.data.nbytes if isinstance(op, (BConv, FConv, QConv, Embed)) else 0


def parameter_bytes(op: Op) -> int:
    """Bytes of the constants of its steps (scales, biases, thresholds, slopes), and of its padding."""
    if isinstance(op, Copy):
        return 0
    n = sum(c.data.nbytes for s in op.steps for c in (s.a, s.b) if c is not None)
    extra = [getattr(op, name, None) for name in ("scale", "flip", "padding")]
    return n + sum(c.data.nbytes for c in extra if c is not None)


def weight_bits(op: Op) -> int:
    """Weights of the op that are stored as one bit each."""
    if isinstance(op, BConv) or (isinstance(op, FConv) and op.packed):
        return op.out_channels * op.geometry.taps * (op.inp.channels // op.geometry.groups)
    return op.rows * op.out_channels if isinstance(op, Embed) else 0


def precision(op: Op) -> str:
    """`binary` (weights and, but for embeddings, activations), `binary, real in` (1-bit weights, float activations),
    `float`, `int8`, or `-` for ops without weights."""
    if isinstance(op, (BConv, Embed)):
        return "binary"
    if isinstance(op, QConv):
        return "int8"
    if isinstance(op, FConv):
        return "binary, real in" if op.packed else "float"
    return "-"
