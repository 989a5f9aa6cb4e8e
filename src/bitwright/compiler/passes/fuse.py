"""Moves elementwise ops into the epilogue of the op that computes their input.

A MAP that only stores bits can be put right behind the STORE of its input. One that changes x can follow only where
x is still that stored
value, i.e. at the end of the chain; then its other operands must be ready before the producer runs, and not be
written by the producer itself.
Commutative operands are swapped so that the op that runs last takes the sum.
"""

from __future__ import annotations

from ..program import Copy, Map, Op, Program, Step, StepKind, Value


def fuse(program: Program) -> None:
    """Fuses every MAP that can be fused, in program order."""
    where = program.producers()
    ops: list[Op | None] = list(program.ops)
    for index, op in enumerate(ops):
        if not isinstance(op, Map):
            continue
        _swap(op, where)
        home = where.get(id(op.inp))
        if home is None:
            continue
        producer = ops[home]
        assert producer is not None
        if not isinstance(producer, Copy) and _append(producer, op, home, where):
            ops[index] = None
            for v in op.writes():
                where[id(v)] = home
            producer.nodes += [n for n in op.nodes if n not in producer.nodes]
    program.ops = [op for op in ops if op is not None]


def _swap(op: Map, where: dict[int, int]) -> None:
    """x + v = v + x and x * v = v * x: reads the operand that is computed last from the registers."""
    if not op.steps:
        return
    s = op.steps[0]
    if s.kind not in (StepKind.ADD, StepKind.MUL) or s.n or s.value is None or s.value is op.inp:
        return
    if where.get(id(s.value), -1) > where.get(id(op.inp), -1):
        op.inp, s.value = s.value, op.inp


def _append(producer: Op, op: Map, home: int, where: dict[int, int]) -> bool:
    at = next((i for i, s in enumerate(producer.steps) if s.kind is StepKind.STORE and s.value is op.inp), None)
    if at is None:
        return False
    if all(s.stores for s in op.steps):
        producer.steps[at + 1 : at + 1] = op.steps
        return True
    if not all(s.stores for s in producer.steps[at + 1 :]):
        return False
    if not all(_ready(s, home, where) for s in op.steps):
        return False
    producer.steps += op.steps
    return True


def _ready(step: Step, home: int, where: dict[int, int]) -> bool:
    value: Value | None = step.value
    return not step.reads or value is None or where.get(id(value), -1) < home
