"""Max pooling of bits: equal in every bit to pooling floats and comparing afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compiler import build, compile, inspect, verify
from bitwright.compiler.bwm import encode
from bitwright.compiler.bwm_read import read
from bitwright.compiler.interpreter import run
from bitwright.compiler.passes.pool_bits import _float, _key
from bitwright.compiler.program import BPool, Pool, StepKind

from .graphs import Array, Builder, onnxruntime

try:
    from bitwright import runtime
except ImportError:
    runtime = None  # type: ignore[assignment]


def kinds(model: onnx.ModelProto) -> list[str]:
    return [type(op).__name__ for op in build(model).ops]


def images(shape: tuple[int, ...], n: int = 3) -> Array:
    return np.random.default_rng(0).standard_normal((n, *shape)).astype(np.float32)


def same_as_floats(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    """The unfused program pools floats: same outputs, bit for bit, in the interpreter and in the engine."""
    x = images(shape)
    plain, pooled = encode(build(model, optimize=False)), encode(build(model))
    assert any(isinstance(op, Pool) for op in read(plain).ops)
    assert encode(read(pooled)) == pooled
    wanted = run(read(plain), {"x": x})
    for name, value in run(read(pooled), {"x": x}).items():
        np.testing.assert_array_equal(value, wanted[name])
    if runtime is not None:
        for data in (plain, pooled):
            for value, reference in zip(runtime.Session(data).run(x)[None], wanted.values(), strict=True):
                np.testing.assert_array_equal(value, reference)


def special(b: Builder, channels: int, how: int) -> Array:
    """Factors of which every third is negative and some are 0 or -0."""
    gamma = b.normal(channels)
    if how:
        gamma[::3] *= -1
        gamma[1::5] = 0
        gamma[2::7] = -0.0
    return gamma


@settings(max_examples=120, deadline=None)
@given(
    channels=st.sampled_from([1, 5, 32, 33, 64, 70]),
    group=st.sampled_from([1, 1, 2, 5]),
    pool=st.sampled_from(
        [
            {"kernel_shape": [2, 2], "strides": [2, 2]},
            {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
            {"kernel_shape": [3, 2], "strides": [1, 2], "pads": [0, 1, 2, 0]},
            {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
            {"kernel_shape": [3, 3], "strides": [3, 2], "ceil_mode": 1, "pads": [1, 0, 1, 1]},
            {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [2, 3]},
        ]
    ),
    before=st.lists(st.sampled_from(["bn", "prelu", "clip"]), max_size=2),
    behind=st.lists(st.sampled_from(["bn", "prelu", "clip", "shift"]), max_size=3),
    low=st.sampled_from([-1.0, 0.0]),
    how=st.integers(0, 1),
    seed=st.integers(0, 1000),
)
def test_equal_to_the_float_path(
    channels: int,
    group: int,
    pool: dict[str, Any],
    before: list[str],
    behind: list[str],
    low: float,
    how: int,
    seed: int,
) -> None:
    group = group if channels % group == 0 else 1
    shape = (12, 7, 9)
    b = Builder(shape, seed=seed)

    def apply(y: str, names: list[str]) -> str:
        for name in names:
            if name == "bn":
                y = b.batch_norm(y, channels, gamma=special(b, channels, how), mean=b.normal(channels) * 5)
            elif name == "prelu":
                y = b.op("PRelu", y, b.const(np.abs(b.normal(channels, 1, 1))))
            elif name == "clip":
                y = b.op("Clip", y, b.const(-1.5), b.const(2.0))
            else:
                y = b.op("Add", y, b.const(b.normal(channels, 1, 1)))
        return y

    scale = special(b, channels, how) if how else 1.0
    y = b.bconv("x", 12, channels, pads=(1, 1, 1, 1), scale=scale, bias=0.0 if seed % 2 else None)
    y = apply(b.op("MaxPool", apply(y, before), **pool), behind)
    threshold = b.normal(channels) if seed % 3 else 0.0
    y = b.bconv(y, channels, group * 3, (2, 2), group=group, low=low, threshold=threshold, pads=(1, 0, 1, 0))
    model = b.model(y)
    assert kinds(model) == ["Map", "BConv", "BPool", "BConv"]
    assert [s.kind for s in build(model).ops[1].steps] == [StepKind.THRESHOLD]
    same_as_floats(model, shape)


def test_flips_only_where_the_chain_falls() -> None:
    b = Builder((8, 6, 6))
    gamma = np.array([1, -1, 0, -0.0, 2, -2, 1e-30, -1e-30])
    y = b.op("MaxPool", b.bconv("x", 8, 8, scale=-0.5, bias=0.0), kernel_shape=[2, 2], strides=[2, 2])
    y = b.batch_norm(y, 8, gamma=gamma, mean=np.zeros(8), var=np.ones(8))
    model = b.model(b.bconv(y, 8, 4, (1, 1)))
    (op,) = [op for op in build(model).ops if isinstance(op, BPool)]
    assert op.flip is not None
    assert op.flip.data[0] & 0b00110011 == 0b00100010
    same_as_floats(model, (8, 6, 6))


def test_global_and_volume_pooling() -> None:
    b = Builder((8, 6, 6))
    y = b.op("GlobalMaxPool", b.bconv("x", 8, 40))
    model = b.model(b.bconv(b.batch_norm(y, 40), 40, 4, (1, 1)))
    assert "BPool" in kinds(model)
    same_as_floats(model, (8, 6, 6))
    b = Builder((3, 5, 6, 7))
    y = b.op("MaxPool", b.bconv("x", 3, 40, (2, 2, 2)), kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    model = b.model(b.bconv(b.batch_norm(y, 40), 40, 4, (2, 1, 1)))
    assert "BPool" in kinds(model)
    same_as_floats(model, (3, 5, 6, 7))


def test_into_a_dense_layer() -> None:
    b = Builder((8, 6, 6))
    y = b.op("MaxPool", b.bconv("x", 8, 33), kernel_shape=[2, 2], strides=[2, 2])
    y = b.op("Flatten", b.batch_norm(y, 33))
    model = b.model(b.blinear(y, 33 * 4, 10))
    assert kinds(model) == ["Map", "BConv", "BPool", "BConv"]
    same_as_floats(model, (8, 6, 6))


@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("threshold", [0.5, "mixed"])
def test_a_map_of_levels_is_pooled_as_bits(low: float, group: int, threshold: float | str) -> None:
    """Binarize, max pool, (batch norm,) binary layer; a float layer reads the levels too."""
    t = np.array([-2, low, 0.5, 1, 1.5, np.nextafter(np.float32(low), np.float32(2))]) if threshold == "mixed" else 0.5
    for bn in (False, True):
        b = Builder((6, 6, 6))
        levels = b.binarize("x", b.normal(6), low=low)
        y = b.op("MaxPool", levels, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        if bn:
            y = b.batch_norm(y, 6, gamma=special(b, 6, 1))
        model = b.model(b.bconv(y, 6, 4, (2, 2), group=group, threshold=t))
        x = images((6, 6, 6))
        x[0, 0, :3] = np.nan
        assert "BPool" in kinds(model)
        assert "Pool" not in kinds(model)
        if (group, threshold, bn) == (1, 0.5, False):
            assert kinds(model) == ["Map", "BPool", "BConv"]  # the bits themselves
        wanted = run(read(encode(build(model, optimize=False))), {"x": x})
        for name, value in run(read(encode(build(model))), {"x": x}).items():
            np.testing.assert_array_equal(value, wanted[name])
        with_floats = b.model(next(iter(wanted)), b.op("Relu", levels))
        same_as_floats_many(with_floats, x)


def same_as_floats_many(model: onnx.ModelProto, x: Array) -> None:
    wanted = onnxruntime(model, x)
    program = read(encode(build(model)))
    assert any(isinstance(op, BPool) for op in program.ops)
    for value, reference in zip(run(program, {"x": x}).values(), wanted, strict=True):
        np.testing.assert_array_equal(value, reference)


def float_map_is_needed(b: Builder) -> list[str]:
    y = b.bconv("x", 8, 16)
    return [b.bconv(b.op("MaxPool", y, kernel_shape=[2, 2]), 16, 4), b.op("Relu", y)]


def pooled_floats_are_needed(b: Builder) -> list[str]:
    y = b.op("MaxPool", b.bconv("x", 8, 16), kernel_shape=[2, 2])
    return [b.bconv(y, 16, 4), b.op("Relu", y)]


def average(b: Builder) -> list[str]:
    return [b.bconv(b.op("AveragePool", b.bconv("x", 8, 16), kernel_shape=[2, 2]), 16, 4)]


def falling_slope(b: Builder) -> list[str]:
    y = b.op("PRelu", b.op("MaxPool", b.bconv("x", 8, 16), kernel_shape=[2, 2]), b.const(-abs(b.normal(16, 1, 1))))
    return [b.bconv(y, 16, 4)]


def residual(b: Builder) -> list[str]:
    y = b.op("Add", b.bconv("x", 8, 8, pads=(1, 1, 1, 1)), "x")
    return [b.bconv(b.op("MaxPool", y, kernel_shape=[2, 2]), 8, 4)]


def real_convolution(b: Builder) -> list[str]:
    return [b.bconv(b.op("MaxPool", b.conv("x", 8, 16), kernel_shape=[2, 2]), 16, 4)]


def overflow(b: Builder) -> list[str]:
    """inf * 0 is NaN, which a maximum keeps."""
    y = b.bconv("x", 8, 16, scale=1e38, bias=0.0)
    y = b.op("MaxPool", b.op("Mul", b.op("Mul", y, b.const(1e38)), b.const(0.0)), kernel_shape=[2, 2])
    return [b.bconv(y, 16, 4)]


def two_thresholds(b: Builder) -> list[str]:
    y = b.op("MaxPool", b.bconv("x", 8, 16), kernel_shape=[2, 2])
    return [b.bconv(y, 16, 4), b.bconv(y, 16, 4, threshold=1.0)]


@pytest.mark.parametrize(
    "case",
    [
        float_map_is_needed,
        pooled_floats_are_needed,
        average,
        falling_slope,
        residual,
        real_convolution,
        overflow,
        two_thresholds,
    ],
    ids=lambda f: f.__name__,
)
def test_left_alone(case: Any) -> None:
    b = Builder((8, 6, 6))
    model = b.model(*case(b))
    assert "Pool" in kinds(model)
    assert "BPool" not in kinds(model)


def test_keys_are_the_order_of_the_floats() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32), np.float32([0.0, -0.0])])
    x = np.sort(np.concatenate([x[~np.isnan(x)], np.float32([np.inf, -np.inf, 1e-45, -1e-45])]))
    key = _key(x)
    assert (np.diff(key)[np.diff(x) > 0] > 0).all()
    np.testing.assert_array_equal(_float(key), x)
    one_up = np.nextafter(x[:-1], np.float32(np.inf))
    np.testing.assert_array_equal(_key(one_up), key[:-1] + 1)


def net() -> Builder:
    b = Builder((16, 12, 12))
    y = b.op("MaxPool", b.bconv("x", 16, 40, pads=(1, 1, 1, 1), module="one"), kernel_shape=[2, 2], strides=[2, 2])
    y = b.batch_norm(y, 40, gamma=special(b, 40, 1))
    y = b.op("MaxPool", b.bconv(y, 40, 64, pads=(1, 1, 1, 1), module="two"), kernel_shape=[2, 2], strides=[2, 2])
    y = b.bconv(b.batch_norm(y, 64), 64, 10, (3, 3))
    b.last = b.op("Flatten", b.op("GlobalAveragePool", y))  # type: ignore[attr-defined]
    return b


def test_inspect_and_verify(tmp_path: Path) -> None:
    pytest.importorskip("bitwright.runtime", reason="the native module is not built")
    b = net()
    model = b.model(b.last)  # type: ignore[attr-defined]
    compile(model, tmp_path / "net.bwm")
    found = inspect(tmp_path / "net.bwm")
    pools = [x for x in found.layers if x.kind == "BPool"]
    assert [(x.detail, x.kernel, x.results, x.output) for x in pools] == [
        ("2x2/2", "bpool", ("bits",), (1, 6, 6, 40)),
        ("2x2/2", "bpool", ("bits",), (1, 3, 3, 64)),
    ]
    assert pools[0].parameter_bytes == 8
    assert sum(found.bytes_by_kind.values()) == found.file_bytes
    for threads in (1, 2):
        report = verify(model, tmp_path / "net.bwm", images(b.shape, 9), batch=4, threads=threads)
        assert report.ok, str(report)
        assert not report.not_compared
    assert [v.kind for v in report.values] == ["Map", "BConv", "BPool", "BConv", "BPool", "BConv", "Pool"]


@pytest.mark.parametrize("change", ["flip", "threshold"])
def test_verify_finds_a_wrong_pool(change: str, tmp_path: Path) -> None:
    pytest.importorskip("bitwright.runtime", reason="the native module is not built")
    b = net()
    model = b.model(b.last)  # type: ignore[attr-defined]
    program = build(model)
    if change == "flip":
        pool = next(op for op in program.ops if isinstance(op, BPool))
        assert pool.flip is not None
        pool.flip.data[0] ^= 16
        wrong = 2
    else:
        step = program.ops[1].steps[0]
        assert step.a is not None
        step.a.data[7] += 8
        wrong = 1
    path = tmp_path / "net.bwm"
    path.write_bytes(encode(program))
    report = verify(model, path, images(b.shape, 5))
    assert not report.ok
    assert [v.op for v in report.values if not v.ok] == [wrong]
