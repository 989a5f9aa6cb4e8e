"""Compares before it pools: `convolution, max pool, batch norm, ..., threshold` stays in bits.

Behind the pool stands a chain of monotone steps and a comparison, so the bit is `max(z) >= s` or `max(z) < s` for one
number s a channel. A maximum reaches s exactly if one of its elements does: the elements become the bits `z >= s`, the
maximum their OR, and where the chain falls (gamma < 0) the result is inverted. s is found by evaluating the chain on
float32 numbers as the unfused steps would, so every bit is the one of the float path.

What is pooled must never be NaN, which a float maximum keeps and an OR forgets: it comes from a binary convolution
through monotone steps, or is a map of two levels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..packing import pack_bits, unpack_bits
from ..program import BConv, BPool, Const, DType, Map, Op, Pool, PoolKind, Program, Step, StepKind, Value
from .fold_thresholds import evaluate, monotone, reachable

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]


def pool_bits(program: Program) -> None:
    """Rewrites every max pooling whose only result is one bits value."""
    reads = program.read_counts()
    writer = {id(v): op for op in program.ops for v in op.writes()}
    ops: list[Op] = []
    for op in program.ops:
        source = writer.get(id(op.inp))
        found = None
        if isinstance(op, Pool) and op.kind is PoolKind.MAX and _only_bits(op.steps):
            if isinstance(source, BConv) and reads[id(op.inp)] == 1 and sum(s.stores for s in source.steps[:-1]) == 0:
                found = _behind_convolution(op, source)
            elif isinstance(source, Map) and source.inp.dtype is DType.BITS:
                found = _behind_levels(op, source)
        ops += found or [op]
    program.ops = ops


def _only_bits(steps: list[Step]) -> bool:
    return steps[-1].kind is StepKind.STORE_BITS and monotone(steps[:-1])


def _behind_convolution(op: Pool, source: BConv) -> list[Op] | None:
    """The convolution stores bits instead of its float map."""
    if source.steps[-1].value is not op.inp:
        return None
    made = _compared(op, source.steps[:-1], *reachable(source))
    if made is None:
        return None
    bits, threshold, pooled = made
    source.steps[-1] = _store(bits, threshold)
    return [pooled]


def _behind_levels(op: Pool, source: Map) -> list[Op] | None:
    """The bits behind a map of two levels are pooled themselves, or compared anew if the levels come out otherwise."""
    at = next(i for i, s in enumerate(source.steps) if s.kind is StepKind.STORE and s.value is op.inp)
    before = [s for s in source.steps[:at] if not s.stores]
    made = _compared(op, before, -1, 1)
    if made is None:
        return None
    bits, threshold, pooled = made
    low, high = evaluate(before, _rows(-1, 1, op.inp.channels)) >= threshold
    if source.inp.groups == bits.groups and not low.any() and high.all():
        pooled.inp = source.inp
        return [pooled]
    name = f"{op.name}.binarize"
    return [Map(name, source.inp, [*before, _store(bits, threshold)], list(op.nodes), op.module), pooled]


def _store(bits: Value, threshold: F32) -> Step:
    return Step(StepKind.STORE_BITS, bits, Const(threshold))


def _rows(low: int, high: int, channels: int) -> I64:
    return np.array([[low] * channels, [high] * channels], dtype=np.int64)


def _compared(op: Pool, before: list[Step], low: int, high: int) -> tuple[Value, F32, BPool] | None:
    """(bits to be stored in front of the pool, their thresholds, the pooling of bits) for a map that is `before` of
    numbers in [low, high]; None if it cannot be done exactly.
    """
    z, last = op.inp, op.steps[-1]
    assert last.value is not None
    if not monotone(before):
        return None
    ends = evaluate(before, _rows(low, high, z.channels))
    if np.isnan(ends).any() or np.isnan(evaluate(op.steps[:-1], ends)).any():
        return None
    threshold, flip = threshold_of(op.steps, np.min(ends, axis=0), np.max(ends, axis=0))
    bits = Value(DType.BITS, z.dims, last.value.groups)
    if z.meaning is not None:
        bits.meaning = type(z.meaning)(z.meaning.tensor, z.meaning.split, z.meaning.perm, threshold)
    mask = Const(pack_bits(flip)) if flip.any() else None
    return bits, threshold, BPool(op.name, bits, [], op.nodes, op.module, last.value, mask, op.geometry)


def threshold_of(steps: list[Step], low: F32, high: F32) -> tuple[F32, Bools]:
    """(s, flip) with `(z >= s) xor flip` = the bit of the steps, for z in [low, high]."""
    *chain, last = steps
    channels = low.size
    level = np.broadcast_to(np.float32(last.p0) if last.a is None else last.a.data, channels)
    inverted = np.zeros(channels, np.bool_) if last.b is None else unpack_bits(last.b.data, channels)

    def bit(key: I64) -> Bools:
        return np.asarray((evaluate(chain, _float(key)) >= level) ^ inverted)

    lo, hi = _key(low), _key(high)
    first = bit(lo)
    active = first != bit(hi)
    # the bit changes once: in (lo, hi]
    while np.any(active & (hi - lo > 1)):
        middle = (lo + hi) // 2
        same = bit(middle) == first
        lo = np.where(active & same, middle, lo)
        hi = np.where(active & ~same, middle, hi)
    # constant: every z is >= -inf
    return np.where(active, _float(hi), np.float32(-np.inf)), np.where(active, first, ~first)


def _key(x: F32) -> I64:
    """Integers in the order of the floats, without gaps; both zeros are 0."""
    raw = np.ascontiguousarray(x, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(raw < 0, -(raw & 0x7FFFFFFF), raw)


def _float(key: I64) -> F32:
    raw = np.where(key < 0, -key | 0x80000000, key)
    return raw.astype(np.uint32).view(np.float32)
