"""`..., STORE x, monotone steps, STORE_BITS` compares x itself: the steps between become one threshold a channel.

So a map that is stored before its batch norm and sign is the last float of its chain, and can be stored as i16.
The threshold is found by bisection over the floats, as `pool_bits` does.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..packing import pack_bits
from ..program import Const, Op, Program, Step, StepKind
from .fold_thresholds import evaluate, monotone
from .pool_bits import threshold_of

REACH = np.float32(2.0**100)  # magnitude up to which the threshold is right


def fold_stored(program: Program, values: Collection[int]) -> None:
    """Rewrites the chains whose last STORE is of one of the values (their ids)."""
    for op in program.ops:
        _fold(op, values)


def _fold(op: Op, values: Collection[int]) -> None:
    stores = [i for i, s in enumerate(op.steps) if s.kind is StepKind.STORE and id(s.value) in values]
    if not stores:
        return
    at = stores[-1]
    tail = op.steps[at + 1 :]
    while tail and tail[0].stores:  # they see x itself
        tail.pop(0)
    if len(tail) < 2 or tail[-1].kind is not StepKind.STORE_BITS or any(s.stores for s in tail[:-1]):
        return
    value, last = op.steps[at].value, tail[-1]
    assert value is not None
    if not monotone(tail[:-1]):
        return
    reach = np.full(value.channels, REACH)
    if np.isnan(evaluate(tail[:-1], np.stack([-reach, reach]))).any():
        return
    threshold, flip = threshold_of(tail, -reach, reach)
    words = Const(pack_bits(flip)) if flip.any() else None
    op.steps[len(op.steps) - len(tail) :] = [Step(StepKind.STORE_BITS, last.value, Const(threshold), words)]


__all__ = ["fold_stored"]
