"""What an op costs: multiply-accumulates by precision, and bytes in the file."""

from __future__ import annotations

import math

from .program import BConv, BPool, Copy, Embed, FConv, Op

Macs = tuple[int, int]


def macs(op: Op) -> Macs:
    """(binary, float) multiply-accumulates for one sample. Only products with weights count; taps in the padding do
    too."""
    if isinstance(op, (BConv, FConv)):
        g = op.geometry
        if g.transposed:  # each input pixel meets each tap once
            pixels = op.inp.pixels
        else:
            pixels = math.prod(op.out)
        n = pixels * op.out_channels * g.taps * (op.inp.channels // g.groups)
        return (n, 0) if isinstance(op, BConv) else (0, n)
    return (0, 0)


def weight_bytes(op: Op) -> int:
    """Bytes of the op's weights in the file."""
    return op.weight.data.nbytes if isinstance(op, (BConv, FConv, Embed)) else 0


def parameter_bytes(op: Op) -> int:
    """Bytes of the constants of its steps: scales, biases, thresholds, slopes."""
    if isinstance(op, Copy):
        return 0
    n = sum(c.data.nbytes for s in op.steps for c in (s.a, s.b) if c is not None)
    extra = op.scale if isinstance(op, Embed) else op.flip if isinstance(op, BPool) else None
    return n + (0 if extra is None else extra.data.nbytes)


def weight_bits(op: Op) -> int:
    """Weights of the op that are stored as one bit each."""
    if isinstance(op, BConv) or (isinstance(op, FConv) and op.packed):
        return op.out_channels * op.geometry.taps * (op.inp.channels // op.geometry.groups)
    return op.rows * op.out_channels if isinstance(op, Embed) else 0


def precision(op: Op) -> str:
    """`binary` (weights and, but for embeddings, activations), `binary, real in` (1-bit weights, float activations),
    `float`, or `-` for ops without weights."""
    if isinstance(op, (BConv, Embed)):
        return "binary"
    if isinstance(op, FConv):
        return "binary, real in" if op.packed else "float"
    return "-"
