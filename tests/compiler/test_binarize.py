"""Binarize: bits for binary layers, two levels for others, constant bits where a threshold does not tell them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitwright.compiler import UnsupportedModelError, build, compile, verify
from bitwright.compiler.program import BConv, Map, Program, StepKind

from .graphs import Array, Builder, onnxruntime
from .test_lower import check

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, -0.5, 1.0], np.float32)


def inputs(shape: tuple[int, ...], n: int = 3) -> Array:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, *shape)).astype(np.float32)
    where = rng.random(x.shape) < 0.2
    x[where] = rng.choice(SPECIAL, int(where.sum()))
    return x


def kinds(program: Program) -> list[str]:
    return [type(op).__name__ for op in program.ops]


@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize(
    ("shape", "axis", "size"),
    [((6,), 1, 6), ((6, 5), 1, 6), ((5, 6), -1, 6), ((6, 4, 5), 1, 6), ((6, 4, 5), -3, 1), ((3, 2, 4, 5), 1, 3)],
)
def test_alone(shape: tuple[int, ...], axis: int, size: int, low: float) -> None:
    b = Builder(shape)
    y = b.binarize("x", b.normal(size), low=low, axis=axis)
    if axis == -1:  # a sequence lies channels-last only if a dense layer says so
        y = b.op("MatMul", y, b.const(np.round(b.normal(6, 4) * 4)))
        check(b, [b.blinear("x", 6, 3), y], x=inputs(shape), exact=True)
    else:
        check(b, [y], x=inputs(shape), exact=True)


# Thresholds of the reader below, at, between, at and above the two levels, -1 and 1 (or 0 and 1).
@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize("reader_low", [-1.0, 0.0])
@pytest.mark.parametrize("group", [1, 3])
def test_a_binary_layer_applies_its_own_threshold(low: float, reader_low: float, group: int) -> None:
    thresholds = np.array([-np.inf, -2, -1, -0.5, 0, np.nextafter(np.float32(0), np.float32(1)), 0.5, 1, 1.5, np.inf])
    thresholds = np.concatenate([thresholds, [-0.0, 2]])
    b = Builder((12, 5, 4))
    y = b.binarize("x", b.normal(12), low=low)
    z = b.bconv(y, 12, 9, group=group, low=reader_low, threshold=thresholds, pads=(1, 1, 1, 1), pad_value=1.0)
    check(b, [z], x=inputs((12, 5, 4)), exact=True)
    program = build(b.model(z))
    assert kinds(program) == ["Map", "BConv"]  # no float map of the levels
    assert [s.kind for s in program.ops[0].steps] == [StepKind.STORE_BITS]


def test_bits_are_written_by_the_op_in_front() -> None:
    """conv, batch norm, Binarize, conv: one integer threshold, as without the Binarize."""
    b = Builder((16, 6, 6))
    y = b.batch_norm(b.bconv("x", 16, 32, pads=(1, 1, 1, 1)), 32)
    y = b.bconv(b.binarize(y, b.normal(32)), 32, 8)
    check(b, [y], exact=True)
    program = build(b.model(y))
    assert kinds(program) == ["Map", "BConv", "BConv"]
    assert [s.kind for s in program.ops[1].steps] == [StepKind.THRESHOLD]


def test_constant_bits_fold_too() -> None:
    """{0,1} levels read with threshold 0 (a ±1 layer behind them): always 1, whatever the convolution says."""
    b = Builder((16, 6, 6))
    t = np.where(np.arange(32) % 2, np.float32(0), np.float32(0.5))
    y = b.batch_norm(b.bconv("x", 16, 32), 32)
    y = b.bconv(b.binarize(y, low=0.0), 32, 8, threshold=t)
    check(b, [y], exact=True)
    assert [s.kind for s in build(b.model(y)).ops[1].steps] == [StepKind.THRESHOLD]


def test_shared_bits() -> None:
    b = Builder((12, 5, 4))
    y = b.binarize("x", b.normal(12))
    outputs = [b.bconv(y, 12, 4), b.bconv(y, 12, 6, threshold=0.5), b.bconv(y, 12, 6, threshold=2.0)]
    check(b, outputs, x=inputs((12, 5, 4)), exact=True)
    program = build(b.model(*outputs))
    assert sorted(kinds(program)) == ["BConv"] * 3 + ["Map"] * 2  # one Map for both, one for the constant


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_float_readers_and_residuals(low: float) -> None:
    b = Builder((12, 6, 6))
    y = b.binarize("x", b.normal(12), low=low)
    binary = b.bconv(y, 12, 12, threshold=0.5, pads=(1, 1, 1, 1), scale=0.5, bias=1.0)
    weight = b.const(np.round(b.normal(12, 12, 1, 1) * 4))
    total = b.op("Add", b.op("Add", binary, y), b.op("Conv", y, weight))
    pooled = b.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    outputs = [total, b.bconv(pooled, 12, 5), b.op("Concat", y, total, axis=1), y]
    check(b, outputs, x=inputs((12, 6, 6)), exact=True)


def test_binarize_of_binarize() -> None:
    b = Builder((12, 6, 6))
    t = np.array([-2, -1, 0, 0.5, 1, 2] * 2)
    y = b.binarize(b.binarize("x", b.normal(12)), t, low=0.0)
    outputs = [y, b.bconv(y, 12, 5, threshold=t[::-1])]
    check(b, outputs, x=inputs((12, 6, 6)), exact=True)


@pytest.mark.parametrize("value", [-3.0, 0.5, 3.0])
def test_a_pad_behind_it(value: float) -> None:
    b = Builder((6, 5, 5))
    p = b.op("Pad", b.binarize("x"), b.ints(0, 0, 1, 1, 0, 0, 1, 1), b.const(value))
    check(b, [b.bconv(p, 6, 4, threshold=0.25)], x=inputs((6, 5, 5)), exact=True)


@pytest.mark.parametrize("threshold", ["scalar", "channel", "pixel"])
def test_flattened(threshold: str) -> None:
    b = Builder((5, 3, 4))
    t = {"scalar": np.float32(0.2), "channel": np.repeat(b.normal(5), 12), "pixel": b.normal(60)}[threshold]
    y = b.binarize(b.op("Flatten", "x"), t)
    outputs = [b.blinear(y, 60, 40), b.blinear(y, 60, 7, threshold=b.normal(60))]
    check(b, outputs, x=inputs((5, 3, 4)), exact=True)


@pytest.mark.parametrize("optimize", [True, False])
def test_verify_knows_what_the_bits_mean(optimize: bool, tmp_path: Path) -> None:
    pytest.importorskip("bitwright.runtime", reason="the native module is not built")
    b = Builder((12, 6, 6))
    t = np.array([-2, -1, 0, 0.5, 1, 2] * 2)
    y = b.binarize(b.conv("x", 12, 12, pads=[1, 1, 1, 1]), b.normal(12), low=0.0)
    z = b.bconv(b.batch_norm(b.bconv(y, 12, 40, threshold=t), 40), 40, 6, pads=(1, 1, 1, 1))
    z = b.op("Flatten", b.op("GlobalAveragePool", b.op("Concat", z, b.bconv(y, 12, 3, threshold=0.1), axis=1)))
    model = b.model(z)
    compile(model, tmp_path / "net.bwm", optimize=optimize)
    x = inputs((12, 6, 6), 9)
    x = np.where(np.isfinite(x), x, np.float32(0))
    report = verify(model, tmp_path / "net.bwm", x, batch=4)
    assert report.ok, str(report)
    assert not report.not_compared
    assert sum(v.dtype == "bits" for v in report.values) == 3


def test_outputs_keep_their_order() -> None:
    """The order of the ids is that of the ONNX outputs, although `first` is computed last."""
    b = Builder((4, 5, 5))
    second = b.op("Relu", "x")
    first = b.bconv(second, 4, 3)
    model = b.model(first, second)
    assert [v.name for v in build(model).outputs] == [first, second]
    program = build(model)
    ids = {id(v): i for i, v in enumerate(program.values())}
    assert ids[id(program.outputs[0])] < ids[id(program.outputs[1])]
    x = inputs((4, 5, 5))
    runtime = pytest.importorskip("bitwright.runtime", reason="the native module is not built")
    from bitwright.compiler.bwm import encode

    for got, wanted in zip(runtime.Session(encode(program)).run(x), onnxruntime(model, x), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_refused() -> None:
    b = Builder((6, 4, 4))
    y = b.op("Relu", b.binarize("x", b.normal(4), axis=-1))
    with pytest.raises(UnsupportedModelError, match="differs between the pixels of a channel"):
        build(b.model(y))
    b = Builder((6, 4, 4))
    y = b.op("Relu", b.binarize("x", b.normal(5)))
    with pytest.raises(UnsupportedModelError, match="its threshold has 5 elements"):
        build(b.model(y, functions=False))
    b = Builder((6, 4, 4))
    y = b.op("Relu", b.binarize("x", np.nan))
    with pytest.raises(UnsupportedModelError, match="contains NaN"):
        build(b.model(y))


def test_the_map_of_levels_is_dropped_only_without_readers() -> None:
    b = Builder((6, 4, 4))
    y = b.binarize("x")
    program = build(b.model(b.bconv(y, 6, 4), b.op("Relu", y)))
    assert sum(isinstance(op, Map) for op in program.ops) == 2
    assert sum(isinstance(op, BConv) for op in program.ops) == 1
