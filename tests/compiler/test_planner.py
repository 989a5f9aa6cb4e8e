"""The arena: values that live together never overlap, offsets are aligned, the peak is what it says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compiler.planner import BAND_BYTES, in_place, lifetimes, plan
from bitwright.compiler.program import BConv, Const, DType, FConv, Map, Pool, Program, QConv, Step, StepKind, Value


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Random graphs of elementwise ops and convolutions whose values have random sizes (the planner looks at sizes and
    lifetimes, and where a convolution stores a sum)."""

    def value() -> Value:
        dtype = draw(st.sampled_from([DType.F32, DType.BITS]))
        size, channels = draw(st.sampled_from([(4, 64), (0, 0)]))
        return Value(dtype, (1, 1, size or draw(st.integers(1, 40)), channels or draw(st.integers(1, 70))))

    first = value()
    values = [first]
    program = Program([first])
    for i in range(draw(st.integers(1, 14))):
        steps = [Step(StepKind.ADD, draw(st.sampled_from(values))) for _ in range(draw(st.integers(0, 2)))]
        new = [value() for _ in range(draw(st.integers(1, 3)))]
        source = draw(st.sampled_from(values))
        steps += [Step(StepKind.STORE, v) for v in new]
        if draw(st.booleans()):
            program.ops.append(Map(f"op{i}", source, steps))
        else:
            program.ops.append(BConv(f"op{i}", source, steps, weight=Const(np.zeros(1, np.uint32))))
        values += new
    for v in draw(st.lists(st.sampled_from(values[1:]), min_size=1, max_size=2, unique_by=id)):
        v.is_output = True
        program.outputs.append(v)
    return program


@settings(max_examples=200, deadline=None)
@given(programs())
def test_no_overlap(program: Program) -> None:
    result = plan(program)
    lives = lifetimes(program)
    heirs = in_place(program, lives)
    for i, a in enumerate(lives):
        assert a.value.offset % 64 == 0
        assert a.value.offset + a.value.bytes <= result.peak
        for b in lives[i + 1 :]:
            if heirs.get(id(a.value)) is b.value or heirs.get(id(b.value)) is a.value:
                assert a.value.offset == b.value.offset
            elif max(a.first, b.first) <= min(a.last, b.last):
                assert (
                    a.value.offset + a.value.bytes <= b.value.offset or b.value.offset + b.value.bytes <= a.value.offset
                )
    end = len(program.ops)
    together = max(sum(v.value.bytes for v in lives if v.first <= t <= v.last) for t in range(-1, end + 1))
    shared = sum(v.bytes for v in heirs.values())
    assert together - shared <= result.peak <= result.naive


def residuals(blocks: int, channels: int = 64) -> tuple[Program, list[Value]]:
    """Blocks of convolution and sum; the sums, the last one an output."""
    dims = (1, 16, 16, channels)
    image, sums = Value(DType.F32, dims), [Value(DType.F32, dims)]
    bits = [Value(DType.BITS, dims) for _ in range(blocks + 1)]
    program = Program([image])
    program.ops.append(Map("first", image, [Step(StepKind.STORE, sums[0]), Step(StepKind.STORE_BITS, bits[0])]))
    for i in range(blocks):
        sums.append(Value(DType.F32, dims, is_output=i == blocks - 1))
        steps = [Step(StepKind.ADD, sums[i]), Step(StepKind.STORE, sums[-1]), Step(StepKind.STORE_BITS, bits[i + 1])]
        program.ops.append(BConv(str(i), bits[i], steps, weight=Const(np.zeros(1, np.uint32))))
    program.outputs.append(sums[-1])
    return program, sums


def test_sums_lie_where_their_summands_were() -> None:
    program, sums = residuals(5)
    result = plan(program)
    assert len({v.offset for v in sums[:-1]}) == 1
    assert sums[-1].offset != sums[0].offset  # an output
    assert program.minor_version == 1
    size = sums[0].bytes
    assert result.peak <= 2 * size + 3 * Value(DType.BITS, sums[0].dims).bytes < result.naive


def test_sums_of_few_channels_have_places_of_their_own() -> None:
    program, sums = residuals(3, channels=32)
    plan(program)
    assert all(a.offset != b.offset for a, b in itertools.pairwise(sums))
    assert program.minor_version == 0


def test_a_summand_that_is_read_again_keeps_its_place() -> None:
    program, sums = residuals(4)
    again = Value(DType.F32, sums[0].dims, is_output=True)
    program.ops.append(Map("again", sums[1], [Step(StepKind.STORE, again)]))
    program.outputs.append(again)
    plan(program)
    assert sums[0].offset == sums[1].offset
    assert sums[2].offset == sums[3].offset
    assert abs(sums[1].offset - sums[2].offset) >= sums[1].bytes
    program.ops[1].steps.append(Step(StepKind.MUL, sums[0]))
    plan(program)
    assert sums[0].offset != sums[1].offset


@settings(max_examples=30, deadline=None)
@given(programs())
def test_deterministic(program: Program) -> None:
    plan(program)
    before = [v.offset for v in program.values()]
    plan(program)
    assert [v.offset for v in program.values()] == before


def test_a_chain_needs_two_buffers() -> None:
    values = [Value(DType.F32, (1, 1, 16, 16)) for _ in range(6)]
    program = Program([values[0]], [values[-1]])
    values[-1].is_output = True
    for i in range(5):
        program.ops.append(Map(str(i), values[i], [Step(StepKind.STORE, values[i + 1])]))
    assert plan(program).peak == 2 * 1024


@pytest.mark.parametrize("kind", [FConv, QConv])
@pytest.mark.parametrize("large", [True, False])
def test_what_a_band_still_reads_outlives_the_pooling(kind: type[FConv | QConv], large: bool) -> None:
    """The engine runs a convolution with a large map and the pooling behind it at once."""
    width = BAND_BYTES // (16 * 64 * 4) + (0 if large else -1)
    image = Value(DType.F32 if kind is FConv else DType.U8, (1, 16, width, 64))
    add, feature = Value(DType.F32, (1, 16, width, 64)), Value(DType.F32, (1, 16, width, 64))
    pooled, end = Value(DType.F32, (1, 8, width, 64)), Value(DType.F32, (1, 8, width, 64), is_output=True)
    conv = kind(
        "conv", image, [Step(StepKind.ADD, add), Step(StepKind.STORE, feature)], weight=Const(np.zeros(1, np.float32))
    )
    pool = Pool("pool", feature, [Step(StepKind.STORE, pooled)])
    program = Program([image, add], [end], [conv, pool, Map("end", pooled, [Step(StepKind.STORE, end)])])
    plan(program)
    last = {id(life.value): life.last for life in lifetimes(program)}
    assert [last[id(v)] for v in (image, add, feature)] == ([1, 1, 1] if large else [0, 0, 1])
    shared = [v for v in (image, add) if v.offset < pooled.offset + pooled.bytes and pooled.offset < v.offset + v.bytes]
    assert bool(shared) is not large
