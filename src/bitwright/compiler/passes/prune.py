"""Removes what nobody reads: stores of unread values, the steps behind the last store, ops without a store."""

from __future__ import annotations

from ..program import BPool, Copy, Program


def prune(program: Program) -> None:
    """Runs until nothing changes; one sweep from the end is enough, because readers stand behind writers."""
    reads = program.read_counts()
    kept = []
    for op in reversed(program.ops):
        if isinstance(op, (Copy, BPool)):
            alive = reads.get(id(op.dst), 0) > 0
        else:
            op.steps = [s for s in op.steps if not (s.stores and s.value is not None and not reads.get(id(s.value)))]
            last = max((i for i, s in enumerate(op.steps) if s.stores), default=-1)
            for s in op.steps[last + 1 :]:
                if s.reads:
                    reads[id(s.value)] -= 1
            op.steps = op.steps[: last + 1]
            alive = last >= 0
        if alive:
            kept.append(op)
        else:
            for v in op.reads():
                reads[id(v)] -= 1
    program.ops = kept[::-1]
