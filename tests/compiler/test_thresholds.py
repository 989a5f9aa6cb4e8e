"""Folding batch norm and the threshold into integers: equal to the float chain for every reachable accumulator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compiler import UnsupportedModelError, build
from bitwright.compiler.packing import unpack_bits
from bitwright.compiler.passes import fold_thresholds, fuse, merge_copies, prune, share_bits
from bitwright.compiler.passes.fold_thresholds import evaluate
from bitwright.compiler.program import BConv, Const, DType, Geometry, Map, Program, Step, StepKind, Value

from .graphs import Array, Builder

CHANNELS = 8


def conv(steps: list[Step], channels: int = CHANNELS, taps: int = 9, inputs: int = 20) -> tuple[Program, BConv]:
    x = Value(DType.BITS, (1, 4, 4, inputs), is_input=True)
    weight = Const(np.zeros(channels * taps, dtype=np.uint32))
    op = BConv("c", x, steps, [], "", weight, channels, 0, (1, 4, 4), Geometry(kernel=(1, 1, taps)))
    return Program([x], [], [op]), op


def affine(a: Array, b: Array) -> Step:
    return Step(StepKind.AFFINE, None, Const(a.astype(np.float32)), Const(b.astype(np.float32)))


def check(chain: list[Step], threshold: Array, taps: int = 9, inputs: int = 20) -> None:
    """The folded step against the float steps, for all integers in range."""
    bits = Value(DType.BITS, (1, 4, 4, CHANNELS))
    program, op = conv(
        [*chain, Step(StepKind.STORE_BITS, bits, Const(threshold.astype(np.float32)))], taps=taps, inputs=inputs
    )
    fold_thresholds(program)
    (step,) = op.steps
    assert step.kind is StepKind.THRESHOLD
    assert step.value is bits
    assert step.a is not None
    k = taps * inputs
    acc = np.arange(-k, k + 1)[:, None].repeat(CHANNELS, axis=1)
    wanted = evaluate(chain, acc) >= threshold.astype(np.float32)
    flip = np.zeros(CHANNELS, bool) if step.b is None else unpack_bits(step.b.data, CHANNELS)
    np.testing.assert_array_equal((acc >= step.a.data) ^ flip, wanted)


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
moderate = st.floats(-4, 4, width=32)
per_channel = st.lists(
    st.one_of(moderate, st.sampled_from([0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30]), floats),
    min_size=CHANNELS,
    max_size=CHANNELS,
)


@settings(max_examples=150, deadline=None)
@given(per_channel, per_channel, per_channel, per_channel, per_channel, per_channel)
def test_every_accumulator(
    s: list[float], o: list[float], a: list[float], b: list[float], slope: list[float], t: list[float]
) -> None:
    arrays = [np.array(v, dtype=np.float32) for v in (s, o, a, b, slope, t)]
    prelu = Step(StepKind.PRELU, None, Const(np.abs(arrays[4])))
    chain = [affine(arrays[0], arrays[1]), affine(arrays[2], arrays[3]), prelu, Step(StepKind.CLAMP, p0=-1e30, p1=3.0)]
    ends = evaluate(chain, np.array([[-180] * CHANNELS, [180] * CHANNELS]))
    if not np.isnan(ends).any():
        check(chain, arrays[5])


def test_negative_zero_and_huge_gamma() -> None:
    gamma = np.array([1.5, -1.5, 0, -0.0, 1e-38, 1e38, -1e38, 3e-45])
    check([affine(gamma, np.zeros(8))], np.zeros(8))
    check([affine(gamma, np.full(8, 0.25))], np.full(8, 0.25))
    check([affine(gamma, np.linspace(-50, 50, 8))], np.linspace(-3, 3, 8), taps=1, inputs=1)


def test_nan_behind_an_overflow_is_not_folded() -> None:
    bits = Value(DType.BITS, (1, 4, 4, CHANNELS))
    chain = [affine(np.full(8, 1e38), np.zeros(8)), affine(np.zeros(8), np.ones(8))]
    program, op = conv([*chain, Step(StepKind.STORE_BITS, bits)])
    fold_thresholds(program)
    assert len(op.steps) == 3


def test_a_falling_slope_is_not_folded() -> None:
    bits = Value(DType.BITS, (1, 4, 4, CHANNELS))
    program, op = conv([Step(StepKind.PRELU, p0=-0.5), Step(StepKind.STORE_BITS, bits)])
    fold_thresholds(program)
    assert [s.kind for s in op.steps] == [StepKind.PRELU, StepKind.STORE_BITS]


def test_a_stored_float_map_is_not_folded() -> None:
    x = Value(DType.F32, (1, 4, 4, CHANNELS))
    program, op = conv([Step(StepKind.STORE, x), Step(StepKind.STORE_BITS, Value(DType.BITS, x.dims))])
    fold_thresholds(program)
    assert len(op.steps) == 2


def test_batch_norm_agrees_with_torch_on_every_accumulator() -> None:
    """The factors are PyTorch's; where its kernel rounds otherwise (fused multiply-add), x lies within 1e-5 of the
    threshold."""
    torch = pytest.importorskip("torch")
    channels, k = 64, 9 * 64
    rng = np.random.default_rng(3)
    gamma = rng.standard_normal(channels).astype(np.float32)
    gamma[:3] = 0, 1e-6, -1e4
    beta, mean = (rng.standard_normal(channels).astype(np.float32) * s for s in (1, 50))
    var = rng.uniform(1, 900, channels).astype(np.float32)
    b = Builder((64, 4, 4))
    y = b.bconv("x", 64, channels, pads=(1, 1, 1, 1), scale=1.0, bias=0.0)
    names = [b.const(v) for v in (gamma, beta, mean, var)]
    y = b.op("BatchNormalization", y, *names, epsilon=1e-5)
    program = build(b.model(b.bconv(y, 64, 4)))
    (step,) = program.ops[1].steps
    assert step.kind is StepKind.THRESHOLD
    assert step.a is not None
    assert step.b is not None
    acc = np.arange(-k, k + 1, 2)
    bn = torch.nn.BatchNorm2d(channels).eval()
    with torch.no_grad():
        for p, v in ((bn.weight, gamma), (bn.bias, beta), (bn.running_mean, mean), (bn.running_var, var)):
            p.copy_(torch.from_numpy(v))
        x = torch.from_numpy(acc.astype(np.float32))[:, None, None, None].repeat(1, channels, 1, 1)
        out = bn(x)[:, :, 0, 0].numpy()
    got = (acc[:, None] >= step.a.data) ^ unpack_bits(step.b.data, channels)
    wrong = got != (out >= 0)
    assert np.abs(out[wrong]).max(initial=0) <= 1e-5 * np.ptp(out)
    assert wrong.mean() < 1e-4


def test_nan_parameters_are_refused() -> None:
    b = Builder((4, 4, 4))
    y = b.batch_norm("x", 4, gamma=np.array([1, np.nan, 1, 1]))
    with pytest.raises(UnsupportedModelError, match="NaN"):
        build(b.model(y))


# --- the other passes, one at a time


def value(c: int = 4) -> Value:
    return Value(DType.F32, (1, 2, 2, c))


def test_fuse_puts_bits_behind_the_store_and_swaps_the_sum() -> None:
    x, y, z, s = (value() for _ in range(4))
    x.is_input = True
    bits = Value(DType.BITS, x.dims)
    program = Program(
        [x],
        [s],
        [
            Map("a", x, [Step(StepKind.STORE, y)]),
            Map("b", y, [Step(StepKind.UNARY, n=1), Step(StepKind.STORE, z)]),
            Map("bits", y, [Step(StepKind.STORE_BITS, bits)]),
            Map("sum", x, [Step(StepKind.ADD, z), Step(StepKind.STORE, s)]),
        ],
    )
    fuse(program)
    (op,) = program.ops
    K = StepKind
    assert [t.kind for t in op.steps] == [K.STORE, K.STORE_BITS, K.UNARY, K.STORE, K.ADD, K.STORE]
    assert op.steps[4].value is x  # x + z became z + x


def test_fuse_waits_for_operands() -> None:
    """An operand that is computed later, or by the same op, cannot be read in the epilogue."""
    x, y, s = (value() for _ in range(3))
    program = Program(
        [x],
        [s],
        [Map("a", x, [Step(StepKind.STORE, y)]), Map("b", y, [Step(StepKind.MUL, y), Step(StepKind.STORE, s)])],
    )
    fuse(program)
    assert len(program.ops) == 2


def test_prune_drops_unread_stores_and_ops() -> None:
    x, y, z, dead = (value() for _ in range(4))
    program = Program(
        [x],
        [z],
        [
            Map("dead", x, [Step(StepKind.STORE, dead)]),
            Map(
                "a",
                x,
                [
                    Step(StepKind.STORE, y),
                    Step(StepKind.UNARY, n=1),
                    Step(StepKind.STORE, z),
                    Step(StepKind.UNARY, n=2),
                ],
            ),
        ],
    )
    prune(program)
    (op,) = program.ops
    assert [s.value for s in op.steps if s.stores] == [z]
    assert len(op.steps) == 2


def test_share_bits_keeps_other_thresholds() -> None:
    b = Builder((8, 5, 5))
    y = [b.bconv("x", 8, 4), b.bconv("x", 8, 4), b.bconv("x", 8, 4, threshold=0.5), b.bconv("x", 8, 4, group=2)]
    program = build(b.model(*y), optimize=False)
    share_bits(program)
    merge_copies(program)
    assert sum(isinstance(op, Map) for op in program.ops) == 3
