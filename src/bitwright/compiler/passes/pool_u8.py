"""A max pool whose result is only wanted as u8 pools u8: rounding keeps the order, so max and rounding commute."""

from __future__ import annotations

from ..program import Copy, DType, Pool, PoolKind, Program, Step, StepKind, Value


def pool_u8(program: Program) -> None:
    """Moves STORE_U8 in front of every max pool that does nothing else, where nobody else reads the pool's input."""
    reads = program.read_counts()
    writer = {id(v): op for op in program.ops for v in op.writes()}
    for op in reversed(program.ops):  # a pool of a pool: the last one first
        if not (isinstance(op, Pool) and op.kind is PoolKind.MAX and len(op.steps) == 1):
            continue
        (step,) = op.steps
        source = writer.get(id(op.inp))
        if step.kind is not StepKind.STORE_U8 or step.value is None or op.inp.dtype is not DType.F32:
            continue
        if source is None or isinstance(source, Copy) or reads[id(op.inp)] != 1:
            continue
        at = next(i for i, s in enumerate(source.steps) if s.kind is StepKind.STORE and s.value is op.inp)
        small = Value(DType.U8, op.inp.dims, scale=step.value.scale, zero=step.value.zero, meaning=op.inp.meaning)
        source.steps[at] = Step(StepKind.STORE_U8, small, p0=step.p0)
        op.inp = small


__all__ = ["pool_u8"]
