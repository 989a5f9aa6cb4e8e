"""One binarization for all binary layers that read the same map with the same threshold (ResNet stages, branches)."""

from __future__ import annotations

from ..program import Map, Program, StepKind, Value


def _key(op: Map) -> tuple[object, ...] | None:
    if len(op.steps) != 1 or op.steps[0].kind not in (StepKind.STORE_BITS, StepKind.STORE_LEVELS):
        return None
    s = op.steps[0]
    assert s.value is not None
    a = None if s.a is None else s.a.data.tobytes()
    b = None if s.b is None else s.b.data.tobytes()
    return (id(op.inp), s.kind, s.value.groups, a, b, s.p0, s.p1, s.n)


def share_bits(program: Program) -> None:
    """Drops equal binarizations and lets their readers read the first one."""
    first: dict[tuple[object, ...], Value] = {}
    same: dict[int, Value] = {}
    kept = []
    for op in program.ops:
        op.inp = same.get(id(op.inp), op.inp)
        key = _key(op) if isinstance(op, Map) else None
        if key is not None:
            value = op.steps[0].value
            assert value is not None
            if key in first:
                same[id(value)] = first[key]
                continue
            first[key] = value
        kept.append(op)
    program.ops = kept
