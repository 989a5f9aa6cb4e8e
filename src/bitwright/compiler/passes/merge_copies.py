"""One COPY for a slice of a slice (PyTorch writes `x[:, :, ::2, ::2]` as several Slice nodes)."""

from __future__ import annotations

from ..program import Copy, Dims4, Program


def _four(values: list[int]) -> Dims4:
    return (values[0], values[1], values[2], values[3])


def merge_copies(program: Program) -> None:
    """Lets a COPY read from where the COPY before it read; `prune` removes the first one if nobody else needs it."""
    writers: dict[int, list[Copy]] = {}
    for op in program.ops:
        if isinstance(op, Copy):
            before = writers.get(id(op.inp), [])
            if len(before) == 1 and before[0].count == op.inp.dims:  # it fills the whole value
                first = before[0]
                op.start = _four([first.start[i] + op.start[i] * first.step[i] for i in range(4)])
                op.step = _four([first.step[i] * op.step[i] for i in range(4)])
                op.inp = first.inp
                op.nodes = [*first.nodes, *op.nodes]
            writers.setdefault(id(op.dst), []).append(op)
