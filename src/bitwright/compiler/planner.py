"""Gives every value a place in the arena: values that live at the same time do not overlap, but for a residual that a
binary convolution adds and the sum that it stores, which have the same place (half the memory, and a map of 56x56x64
floats stays in a cache of 1 MB)."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import CompileError
from .program import BConv, FConv, Op, Pool, Program, QConv, Value

ALIGNMENT = 64
ARENA_LIMIT = 4 << 30  # docs/bwm.md, "Limits of this engine"
BAND_BYTES = 256 << 10  # of a map from which on the engine may run its writer and the pooling behind it band by band


@dataclass(frozen=True)
class Plan:
    """Result of planning."""

    peak: int  # bytes of the arena for one sample
    naive: int  # what it would be if no two values shared memory


@dataclass(frozen=True)
class Lifetime:
    """A value lives from op `first` to op `last`, both included (a model input: from op -1)."""

    value: Value
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        return self.first <= other.last and other.first <= self.last


def lifetimes(program: Program) -> list[Lifetime]:
    """Lifetimes of all values, in the order of their ids."""
    first = program.producers()
    last: dict[int, int] = {}
    for i, op in enumerate(program.ops):
        for v in (*op.reads(), *op.writes()):
            last[id(v)] = i
    for i, (op, follower) in enumerate(zip(program.ops, program.ops[1:], strict=False)):
        if in_bands(op, follower):
            for v in op.reads():
                last[id(v)] = max(last[id(v)], i + 1)
    end = len(program.ops)
    return [Lifetime(v, first.get(id(v), -1), end if v.is_output else last.get(id(v), -1)) for v in program.values()]


def in_bands(op: Op, follower: Op) -> bool:
    """Whether the engine may run both at once, band by band: then what the first reads must outlive the second."""
    if not (isinstance(op, FConv | QConv) and isinstance(follower, Pool)):
        return False
    return [id(v) for v in op.writes()] == [id(follower.inp)] and follower.inp.bytes >= BAND_BYTES


def plan(program: Program) -> Plan:
    """Sets `offset` of every value: largest first, each into the tightest gap between those it lives together with."""
    placed: list[Lifetime] = []
    lives = lifetimes(program)
    heirs = in_place(program, lives)
    todo = _merged(lives, heirs)
    order = sorted(range(len(todo)), key=lambda i: (-todo[i].value.bytes, todo[i].first, i))
    for i in order:
        life = todo[i]
        taken = sorted((p.value.offset, p.value.offset + p.value.bytes) for p in placed if p.meets(life))
        life.value.offset = _best_gap(taken, life.value.bytes)
        placed.append(life)
    for life in sorted(lives, key=lambda one: one.first):
        if id(life.value) in heirs:
            heirs[id(life.value)].offset = life.value.offset
    peak = max((v.value.offset + v.value.bytes for v in todo), default=0)
    if peak > ARENA_LIMIT:
        raise CompileError(f"one sample needs {peak} bytes of activations; the engine's limit is {ARENA_LIMIT}")
    return Plan(peak, sum(v.value.bytes for v in lives))


def in_place(program: Program, lives: list[Lifetime]) -> dict[int, Value]:
    """Ids of values that end where a binary convolution adds them, and what it stores in their place."""
    last = {id(life.value): life.last for life in lives}
    pairs = ((i, op.in_place) for i, op in enumerate(program.ops) if isinstance(op, BConv))
    return {id(pair[0]): pair[1] for i, pair in pairs if pair is not None and last[id(pair[0])] == i}


def _merged(lives: list[Lifetime], heirs: dict[int, Value]) -> list[Lifetime]:
    """The lives of places: of a value and of all that take its place, one after the other."""
    of = {id(life.value): life for life in lives}
    taken = {id(v) for v in heirs.values()}
    places = []
    for life in lives:
        if id(life.value) in taken:
            continue
        end = life
        while id(end.value) in heirs:
            end = of[id(heirs[id(end.value)])]
        places.append(Lifetime(life.value, life.first, end.last))
    return places


def _best_gap(taken: list[tuple[int, int]], size: int) -> int:
    """Start of the smallest gap of at least `size` bytes; behind everything if there is none."""
    best: tuple[int, int] | None = None
    end = 0
    for lo, hi in taken:
        gap = lo - end
        if gap >= size and (best is None or gap < best[0]):
            best = (gap, end)
        end = max(end, hi)
    return best[1] if best is not None else end
