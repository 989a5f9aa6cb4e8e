"""The stream of shortcut additions as 16-bit fixed-point numbers.

Maps that are added to each other form a *stream*: they share one scale, so that adding is adding integers. A binary
convolution whose whole epilogue fits becomes a chain of i16 steps (FIXED, ADD_I16, PRELU_I16, ...); any other op keeps
its float chain, reads i16 maps as floats, and rounds once at its end (QUANTIZE_I16). A map that an op cannot read as
i16 stays fp32, and so do the chains that need it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..fixed_point import LIMIT, MAX_SLOPE_SHIFT, factors, room
from ..packing import pack_bits, unpack_bits, words_of
from ..program import BConv, Const, Copy, DType, Map, Op, Pool, PoolKind, Program, Step, StepKind, Value, out_dims

F64 = npt.NDArray[np.float64]
HEADROOM = 2.0  # the scale leaves room for values twice as large as any in the calibration samples (our choice)


@dataclass
class Stream:
    """Maps with one scale."""

    values: list[Value]
    scale: float = 0.0
    largest: float = 0.0  # magnitude in the calibration samples
    kept: dict[str, str] = field(default_factory=dict)  # layer with a float chain -> why


def streams(program: Program, excluded: Collection[int] = ()) -> list[Stream]:
    """The streams that can be i16, without scales; `excluded` are ids of values that must stay fp32."""
    groups = _Groups(program)
    allowed = _allowed(program, groups, excluded)
    found: dict[int, Stream] = {}
    for v in program.values():
        if id(v) in allowed:
            found.setdefault(groups.root(v), Stream([])).values.append(v)
    carried = set()
    for op in program.ops:
        if isinstance(op, BConv):
            added = [s.value for s in op.steps if s.kind is StepKind.ADD and s.value is not None]
            carried |= {groups.root(v) for v in added if id(v) in allowed}
    return [stream for root, stream in found.items() if root in carried]


def probe(program: Program, values: Collection[int]) -> dict[int, list[Value]]:
    """Stores x wherever a chain that writes one of the values (their ids) may saturate, so that the calibration sees
    it: id(op) -> the new values. `unprobe` removes them again.
    """
    probes: dict[int, list[Value]] = {}
    for op in program.ops:
        if not any(id(v) in values for v in op.writes()) or isinstance(op, Copy):
            continue
        steps: list[Step] = []
        for i, s in enumerate(op.steps):
            steps.append(s)
            after = op.steps[i + 1] if i + 1 < len(op.steps) else None
            if s.stores or after is None or after.kind is StepKind.STORE:
                continue
            if s.kind is StepKind.AFFINE and after.kind is StepKind.AFFINE:
                continue  # merged into one step
            v = Value(DType.F32, out_dims(op))
            probes.setdefault(id(op), []).append(v)
            steps.append(Step(StepKind.STORE, v))
        op.steps = steps
    return probes


def unprobe(program: Program, probes: Mapping[int, list[Value]]) -> None:
    """Removes the stores of `probe`."""
    mine = {id(v) for values in probes.values() for v in values}
    for op in program.ops:
        op.steps = [s for s in op.steps if s.value is None or id(s.value) not in mine]


def fixed_residual(
    program: Program, largest: Mapping[int, float], peaks: Mapping[int, float]
) -> tuple[list[Stream], dict[int, list[Step]]]:
    """Rewrites the program.

    Args:
        program: without the probes.
        largest: the magnitude of every value of the streams in the calibration samples.
        peaks: id(op) -> the magnitude inside its chain, from its probes.

    Returns:
        The streams, and id(op) -> the float steps that were rewritten.
    """
    excluded: set[int] = set()
    while True:
        found = streams(program, excluded)
        of = {id(v): stream for stream in found for v in stream.values}
        for stream in found:
            _scale(stream, program, largest, peaks)
        scales = {key: stream.scale for key, stream in of.items()}
        made: dict[int, list[Step]] = {}
        lost: set[int] = set()
        for op in program.ops:
            mine = {id(v) for v in op.writes() if id(v) in of}
            if not mine or isinstance(op, Copy):
                continue
            stream = of[next(iter(mine))]
            steps = _convert(op, stream.scale, scales)
            if isinstance(steps, str):
                stream.kept[op.module or op.name] = steps
                if not _ends_with_stores(op, mine):
                    lost |= mine
                    continue
                steps = _rounded(op.steps, stream.scale, mine)
            made[id(op)] = steps
        if not lost:
            break
        excluded |= lost
    before = {id(op): op.steps for op in program.ops if id(op) in made}
    for op in program.ops:
        op.steps = made.get(id(op), op.steps)
    for stream in found:
        for v in stream.values:
            v.dtype, v.scale = DType.I16, stream.scale
    return found, before


def _scale(stream: Stream, program: Program, largest: Mapping[int, float], peaks: Mapping[int, float]) -> None:
    mine = {id(v) for v in stream.values}
    stream.largest = max(largest[id(v)] for v in stream.values)
    offsets = 0.0
    for op in program.ops:
        if any(id(v) in mine for v in op.writes()):
            stream.largest = max(stream.largest, peaks.get(id(op), 0.0))
            if isinstance(op, BConv):  # FIXED saturates before it adds the offset, too
                offsets = max(offsets, float(np.abs(merged(op.steps, out_dims(op)[3])[1]).max()))
    reach = max(stream.largest * HEADROOM, stream.largest + offsets) or 1.0
    stream.scale = float(np.float32(reach / LIMIT))


# --- which values


def _max_pool(op: Op) -> bool:
    return isinstance(op, Pool) and op.kind is PoolKind.MAX


class _Groups:
    """Union-find over values that must share a scale."""

    def __init__(self, program: Program) -> None:
        self.parent: dict[int, int] = {}
        for op in program.ops:
            if isinstance(op, Copy):
                self.join(op.inp, op.dst)
            elif op.inp.dtype is DType.F32 and (isinstance(op, Map) or _max_pool(op)):
                self._chain(op, op.inp)
            maps = [s.value for s in op.steps if s.kind in (StepKind.ADD, StepKind.STORE) and s.value is not None]
            for v in maps[1:]:
                self.join(maps[0], v)

    def _chain(self, op: Op, inp: Value) -> None:
        for s in op.steps:
            if s.kind is StepKind.STORE and s.value is not None:
                self.join(inp, s.value)

    def root(self, v: Value) -> int:
        k = id(v)
        while self.parent.get(k, k) != k:
            k = self.parent[k]
        return k

    def join(self, a: Value, b: Value) -> None:
        ra, rb = self.root(a), self.root(b)
        if ra != rb:
            self.parent[ra] = rb


def candidates(program: Program) -> set[int]:
    """id of every value of a group that holds a shortcut added to a binary convolution."""
    return _candidates(program, _Groups(program))


def _candidates(program: Program, groups: _Groups) -> set[int]:
    added = {
        groups.root(s.value)
        for op in program.ops
        if isinstance(op, BConv)
        for s in op.steps
        if s.kind is StepKind.ADD and s.value is not None
    }
    return {
        id(v)
        for v in program.values()
        if v.dtype is DType.F32 and not v.is_input and not v.is_output and groups.root(v) in added
    }


def _allowed(program: Program, groups: _Groups, excluded: Collection[int]) -> set[int]:
    """id of every value that may be i16: all who read it can, and who writes it stores it last or in i16 steps."""
    ok = _candidates(program, groups)
    ok -= set(excluded)
    for op in program.ops:
        if not isinstance(op, (Pool, Copy, Map)):
            ok.discard(id(op.inp))
        ok -= {id(s.value) for s in op.steps if s.kind is StepKind.MUL}
    changed = True
    while changed:
        before = len(ok)
        for op in program.ops:
            if isinstance(op, Copy):
                if id(op.inp) not in ok or id(op.dst) not in ok:
                    ok -= {id(op.inp), id(op.dst)}
                continue
            mine = {id(v) for v in op.writes()} & ok
            if mine and _fits(op, ok) and not _ends_with_stores(op, mine):
                ok -= mine
        changed = len(ok) != before
    return ok


def _ends_with_stores(op: Op, mine: set[int]) -> bool:
    at = next(i for i, s in enumerate(op.steps) if s.kind is StepKind.STORE and id(s.value) in mine)
    return all(s.stores for s in op.steps[at:])


# --- chains


def leading(steps: list[Step]) -> int:
    """How many AFFINEs a chain begins with."""
    n = 0
    while n < len(steps) and steps[n].kind is StepKind.AFFINE:
        n += 1
    return n


def _fits(op: Op, i16: set[int] | Mapping[int, float]) -> str:
    """Why an op's epilogue cannot be i16 steps, or "". Scales are not looked at."""
    if isinstance(op, BConv):
        k = op.geometry.taps * (op.inp.channels // op.geometry.groups)
        padded = op.geometry.taps * words_of(op.inp.channels // op.geometry.groups) * 32
        if room(k) < 0 or padded > 65535:
            return f"accumulators up to {k} do not fit 16 bits"
        rest = op.steps[leading(op.steps) :]
    elif (isinstance(op, Map) or _max_pool(op)) and id(op.inp) in i16:
        rest = op.steps
    else:
        return f"{type(op).__name__.lower()} computes floats"
    for s in rest:
        if s.kind in (StepKind.STORE, StepKind.ADD) and id(s.value) not in i16:
            return f"it {'writes' if s.stores else 'adds'} an fp32 map"
        if s.kind is StepKind.AFFINE and (_row(s.a, s.p0, 1) != 1).any():
            return "a scale behind the accumulator's own"
        if s.kind in (StepKind.UNARY, StepKind.MUL, StepKind.STORE_U8):
            return f"it holds {s.kind.name.lower()}"
        if s.kind is StepKind.PRELU and factors(_row(s.a, s.p0, 1), MAX_SLOPE_SHIFT) is None:
            return f"a slope of {np.abs(_row(s.a, s.p0, 1)).max():g}; below {1 << MAX_SLOPE_SHIFT} fits"
    return ""


def _row(const: Const | None, scalar: float, channels: int) -> F64:
    return np.full(channels, np.float32(scalar), np.float64) if const is None else const.data.astype(np.float64)


def _ints(x: F64) -> Const:
    return Const(np.clip(np.rint(x), -LIMIT - 1, LIMIT).astype(np.int32))


def _convert(op: Op, scale: float, i16: Mapping[int, float]) -> list[Step] | str:
    """The op's steps as i16 steps, or why not."""
    why = _fits(op, i16)
    if why:
        return why
    channels = out_dims(op)[3]
    made: list[Step] = []
    rest = op.steps
    if isinstance(op, BConv):
        first = _first(op, scale, channels)
        if isinstance(first, str):
            return first
        made, rest = [first], op.steps[leading(op.steps) :]
    for s in rest:
        if s.kind is StepKind.STORE:
            made.append(Step(StepKind.STORE_I16, s.value))
        elif s.kind is StepKind.ADD:
            made.append(Step(StepKind.ADD_I16, s.value))
        elif s.kind is StepKind.AFFINE:
            b = _row(s.b, s.p1, channels) / scale
            if np.abs(b).max() > LIMIT:
                return f"an offset of {np.abs(b * scale).max():g} outside the stream's range"
            made.append(Step(StepKind.BIAS_I16, b=_ints(b)))
        elif s.kind is StepKind.PRELU:
            found = factors(_row(s.a, s.p0, channels), MAX_SLOPE_SHIFT)
            assert found is not None
            made.append(Step(StepKind.PRELU_I16, a=_ints(found[0].astype(np.float64)), n=found[1]))
        elif s.kind is StepKind.CLAMP:
            low, high = (float(np.clip(np.rint(p / scale), -LIMIT - 1, LIMIT)) for p in (s.p0, s.p1))
            made.append(Step(StepKind.CLAMP_I16, p0=low, p1=high))
        else:
            assert s.kind is StepKind.STORE_BITS
            made.append(_compare(s, scale, channels))
    return made


def merged(steps: list[Step], channels: int) -> tuple[F64, F64]:
    """(a, b) of the AFFINEs that a chain begins with, as one."""
    a, b = np.ones(channels), np.zeros(channels)
    for s in steps[: leading(steps)]:
        f = _row(s.a, s.p0, channels)
        a, b = a * f, b * f + _row(s.b, s.p1, channels)
    return a, b


def _first(op: BConv, scale: float, channels: int) -> Step | str:
    """FIXED for `(acc*a + b)*a' + b' ...`."""
    a, b = merged(op.steps, channels)
    before = room(op.geometry.taps * (op.inp.channels // op.geometry.groups))
    found = factors(a / scale / 2.0**before, 15)
    if found is None:
        return f"a scale of {np.abs(a).max():g} a unit of the accumulator, too large for the stream's {scale:g}"
    if np.abs(b / scale).max() > LIMIT:
        return f"an offset of {np.abs(b).max():g} outside the stream's range"
    m, after = found
    return Step(StepKind.FIXED, None, _ints(m.astype(np.float64)), _ints(b / scale), n=before | after << 8)


def _compare(s: Step, scale: float, channels: int) -> Step:
    """q*scale >= t is q >= ceil(t / scale), in exact arithmetic."""
    t = _row(s.a, s.p0, channels)
    flip = np.zeros(channels, np.bool_) if s.b is None else unpack_bits(s.b.data, channels).copy()
    with np.errstate(invalid="ignore", over="ignore"):
        limit = np.ceil(t / scale)
    never = ~(limit <= LIMIT)  # NaN too: nothing reaches it
    flip ^= never
    limit = np.where(never, -LIMIT - 1, np.maximum(limit, -LIMIT - 1))
    words = Const(pack_bits(flip)) if flip.any() else None
    return Step(StepKind.STORE_BITS_I16, s.value, _ints(limit), words)


def _rounded(steps: list[Step], scale: float, mine: set[int]) -> list[Step]:
    """The float chain, then one rounding."""
    floats = [s for s in steps if not (s.kind is StepKind.STORE and id(s.value) in mine)]
    stores = [Step(StepKind.STORE_I16, s.value) for s in steps if s.kind is StepKind.STORE and id(s.value) in mine]
    assert all(s.stores for s in steps[next(i for i, s in enumerate(steps) if s not in floats) :])
    return [*floats, Step(StepKind.QUANTIZE_I16, p0=float(np.float32(1.0 / scale))), *stores]


__all__ = ["HEADROOM", "Stream", "candidates", "fixed_residual", "leading", "merged", "probe", "streams", "unprobe"]
