"""Runs a COPY as soon as its input exists.

A shortcut that is a COPY (ResNet's option A) stands behind the convolution it is added to; moved before it, the sum
fits into that
convolution's epilogue.
"""

from __future__ import annotations

from ..program import Copy, Op, Program


def hoist_copies(program: Program) -> None:
    """Moves every COPY that alone fills its value behind the op that writes its input (a model input: to the front)."""
    writers: dict[int, int] = {}
    for op in program.ops:
        if isinstance(op, Copy):
            writers[id(op.dst)] = writers.get(id(op.dst), 0) + 1
    front: list[Op] = []
    behind: dict[int, list[Op]] = {}  # id(op) -> copies to run behind it
    last_writer: dict[int, Op] = {}
    rest: list[Op] = []
    for op in program.ops:
        for v in op.writes():
            last_writer[id(v)] = op
        if isinstance(op, Copy) and writers[id(op.dst)] == 1:
            source = last_writer.get(id(op.inp))
            (front if source is None else behind.setdefault(id(source), [])).append(op)
        else:
            rest.append(op)
    ordered: list[Op] = []

    def place(op: Op) -> None:
        ordered.append(op)
        for copy in behind.get(id(op), []):
            place(copy)

    for op in [*front, *rest]:
        place(op)
    program.ops = ordered
