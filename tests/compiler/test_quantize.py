"""int8 layers: weights, ranges, padding, passes, random networks in the engine, bad calibration samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitwright.compiler import CompileError, build, compile, inspect, verify
from bitwright.compiler.bwm_read import read
from bitwright.compiler.histogram import BINS, Histogram, u8_parameters, u8_range
from bitwright.compiler.interpreter import run
from bitwright.compiler.passes.pool_u8 import pool_u8
from bitwright.compiler.passes.prune import prune
from bitwright.compiler.passes.quantize_layers import quantize_layers, quantize_weight
from bitwright.compiler.pixels import Pixels
from bitwright.compiler.program import DType, FConv, Pool, QConv, StepKind
from bitwright.compiler.samples import gather

from .graphs import Array, Builder, onnxruntime
from .networks import random_network

runtime = pytest.importorskip("bitwright.runtime", reason="the native module is not built")


def images(shape: tuple[int, ...], n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def statistics(program: Any, x: Array) -> dict[int, Histogram]:
    """Of the layers' inputs, with the numpy oracle."""
    from bitwright.compiler import interpreter as oracle

    data = {id(v): oracle.to_internal(v, x) for v in program.inputs}
    for op in program.ops:
        oracle.run_op(op, data)
    found = {}
    for op in program.ops:
        if isinstance(op, FConv):
            found[id(op.inp)] = Histogram()
            found[id(op.inp)].add(data[id(op.inp)])
    return found


# --- ranges


@given(
    st.lists(hnp.arrays(np.float32, (2, 1, 1, 3, 4), elements=st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=4)
)
def test_histogram_grows(batches: list[Array]) -> None:
    """Batch by batch as all at once: extremes, mean squares, and every element in its bin."""
    h = Histogram()
    for x in batches:
        h.add(x)
    whole = np.concatenate(batches).astype(np.float64)
    assert (h.low, h.high) == (min(0.0, whole.min()), max(0.0, whole.max()))
    np.testing.assert_allclose(h.mean_squares, np.square(whole).reshape(-1, 4).mean(axis=0), rtol=1e-9, atol=1e-30)
    assert h.counts.sum() == whole.size == h.elements
    if h.reach:
        width = 2 * h.reach / BINS
        assert h.largest < h.reach <= 2 * h.largest * (1 + 1e-12)
        found = np.repeat(h.centres(), h.counts)
        assert np.abs(found - np.sort(whole.reshape(-1))).max() <= width / 2 * (1 + 1e-6)


@given(st.floats(-1e3, 0), st.floats(0, 1e3))
def test_u8_holds_zero_and_the_range(low: float, high: float) -> None:
    scale, zero = u8_parameters(low, high)
    assert 0 <= zero <= 255
    assert scale > 0
    assert scale == np.float32(scale)
    assert -zero * scale <= low + scale
    assert (255 - zero) * scale >= high - scale


def test_heavy_tails_are_clipped() -> None:
    """The range has the smaller squared error, measured by rounding, than the extremes have."""
    x = np.random.default_rng(0).standard_t(3, (1, 1, 1, 100_000, 1)).astype(np.float32)
    h = Histogram()
    h.add(x)

    def error(low: float, high: float) -> float:
        scale, zero = u8_parameters(low, high)
        q = np.clip(np.rint(x.astype(np.float64) / scale) + zero, 0, 255)
        return float(np.square(x - (q - zero) * scale).mean())

    low, high = u8_range(h)
    assert error(low, high) < 0.9 * error(h.low, h.high)
    assert 0 < h.outside(low, high) < 0.01


# --- weights


@given(
    hnp.arrays(np.float64, (3, 2, 5), elements=st.floats(-10, 10)),
    hnp.arrays(np.float64, (3, 5), elements=st.floats(0.01, 10)),
)
def test_weights(weight: Array, energy: Array) -> None:
    """Symmetric, within half a step unless clipped, never worse than plain max|w|/127."""
    q, scale = quantize_weight(weight, energy)
    assert np.array_equal(q, np.rint(q))
    assert np.abs(q).max() <= 127
    error = weight - q * scale[:, None, None]
    inside = np.abs(weight) <= 127 * scale[:, None, None]
    assert (np.abs(error)[inside] <= (scale[:, None, None] * np.ones_like(weight))[inside] * 0.5001).all()
    largest = np.abs(weight).reshape(3, -1).max(axis=1)
    plain = np.where(largest > 1e-30, largest / 127, 1).astype(np.float32).astype(np.float64)[:, None, None]
    usual = weight - np.clip(np.rint(weight / plain), -127, 127) * plain
    cost = [(np.square(e) * energy[:, None, :]).sum(axis=(1, 2)) for e in (error, usual)]
    assert (cost[0] <= cost[1] * (1 + 1e-9) + 1e-25).all()


def test_one_bit_weights_stay_exact() -> None:
    b = Builder((4, 6, 6))
    w = np.where(b.rng.random((8, 4, 3, 3)) < 0.5, 1, -1)
    program = build(b.model(b.op("Conv", "x", b.const(w), pads=[1, 1, 1, 1])))
    x = images(b.shape, 3)
    wanted = run(program, {"x": x})
    (report,) = quantize_layers(program, statistics(program, x))
    assert (report.weights, report.weight_error) == ("±1", 0.0)
    (op,) = [op for op in program.ops if isinstance(op, QConv)]
    assert set(op.weight.data.tolist()) == {-1, 1}
    (name,) = wanted
    got = run(program, {"x": x})[name]
    np.testing.assert_allclose(got, wanted[name], atol=36 * report.scale * 0.51)


# --- the program


def test_padding_is_exact() -> None:
    """An input that is far from 0 everywhere but in the padding: the borders are as good as the middle."""
    b = Builder((3, 8, 8))
    model = b.model(b.conv("x", 3, 5, pads=[1, 1, 1, 1]))
    x = images(b.shape, 4) * 0.1 + 5
    program = build(model)
    (report,) = quantize_layers(program, statistics(program, x))
    (name,) = (v.name for v in program.outputs)
    error = np.abs(run(program, {"x": x})[name] - onnxruntime(model, x)[0])
    inner, border = error[:, :, 1:-1, 1:-1].max(), error.max()
    assert border < 2 * inner + 1e-3
    assert report.quantized


def test_bias_and_batch_norm_merge() -> None:
    b = Builder((3, 6, 6))
    y = b.batch_norm(b.conv("x", 3, 4), 4)
    program = build(b.model(y))
    quantize_layers(program, statistics(program, images(b.shape, 2)))
    (op,) = [op for op in program.ops if isinstance(op, QConv)]
    assert [s.kind for s in op.steps] == [StepKind.AFFINE, StepKind.STORE]


def test_what_only_moves_numbers_stays() -> None:
    b = Builder((3, 6, 6))
    eye = np.eye(3).reshape(3, 3, 1, 1)
    program = build(b.model(b.op("Conv", "x", b.const(eye))))
    (report,) = quantize_layers(program, statistics(program, images(b.shape, 2)))
    assert not report.quantized
    assert "moves" in report.why


def test_max_pool_pools_bytes() -> None:
    """With and without the pass: the same outputs, bit for bit."""

    def compiled(with_pass: bool) -> tuple[Any, Array]:
        b = Builder((3, 12, 12))
        y = b.op(
            "MaxPool", b.conv("x", 3, 8, pads=[1, 1, 1, 1]), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
        )
        program = build(b.model(b.conv(y, 8, 5, (1, 1))))
        x = images(b.shape, 3)
        quantize_layers(program, statistics(program, x))
        prune(program)
        if with_pass:
            pool_u8(program)
        return program, next(iter(run(program, {"x": x}).values()))

    plain, wanted = compiled(False)
    moved, got = compiled(True)
    np.testing.assert_array_equal(got, wanted)
    pools = [[op.inp.dtype for op in p.ops if isinstance(op, Pool)] for p in (plain, moved)]
    assert pools == [[DType.F32], [DType.U8]]


@pytest.mark.parametrize("residual", ["fp32", "int16"])
@pytest.mark.parametrize("seed", range(12))
def test_random_network(seed: int, residual: str, tmp_path: Path) -> None:
    """In the engine, each op equal to the integer reference; every float layer is int8."""
    model, shape = random_network(seed)
    path = tmp_path / "net.bwm"
    report = compile(model, path, float_layers="int8", residual=residual, calibration=images(shape, 16, seed))
    q = report.quantization
    assert q is not None
    assert q.layers
    assert all(layer.quantized for layer in q.layers), str(report)
    assert not any(isinstance(op, FConv) for op in read(path).ops)
    checked = verify(model, path, images(shape, 8, seed + 50), batch=3)
    assert checked.ok, str(checked)
    assert "int8 layers" in str(inspect(path))
    x = images(shape, 5, seed)
    np.testing.assert_array_equal(runtime.Session(path, threads=2).run(x), runtime.Session(path).run(x))


def test_verify_finds_a_wrong_weight(tmp_path: Path) -> None:
    """The reference reads the file's program, so a damaged engine is needed: another file stands for it."""
    from bitwright.compiler.verification import Verifier

    b = Builder((3, 8, 8))
    model = b.model(b.op("Flatten", b.op("GlobalAveragePool", b.conv("x", 3, 6, pads=[1, 1, 1, 1]))))
    compile(model, tmp_path / "net.bwm", float_layers="int8", calibration=images(b.shape, 8))
    verifier = Verifier(model, tmp_path / "net.bwm")
    for op in verifier._program.ops:
        if isinstance(op, QConv):
            op.weight.data = op.weight.data.copy()
            op.weight.data[7] += 1 if op.weight.data[7] < 127 else -1
    verifier.add(images(b.shape, 8))
    assert not verifier.report.ok
    assert {v.kind for v in verifier.report.values if v.bugs} == {"QConv"}


def test_accuracy_of_a_float_network(tmp_path: Path) -> None:
    """No bits that could flip: the error of the outputs is that of 8 bits."""
    b = Builder((3, 10, 10))
    y = b.op("Relu", b.conv("x", 3, 16, pads=[1, 1, 1, 1]))
    y = b.op("Relu", b.conv(y, 16, 16, pads=[1, 1, 1, 1]))
    model = b.model(b.op("Flatten", b.op("GlobalAveragePool", b.conv(y, 16, 10, (1, 1)))))
    x, other = images(b.shape, 64), images(b.shape, 32, 9)
    labels = onnxruntime(model, other)[0].argmax(axis=1)
    report = compile(
        model, tmp_path / "net.bwm", float_layers="int8", calibration=x, evaluation=other, labels=labels
    ).quantization
    assert report is not None
    a = report.accuracy
    assert a.samples == 32
    assert a.top1_fp32 == 1.0
    assert a.top1 == a.agreement
    assert a.agreement is not None
    assert a.agreement >= 0.9
    assert a.rms_error < 0.02
    assert "top-1" in str(report)


# --- pixels


@pytest.mark.parametrize("float_layers", ["fp32", "int8"])
@pytest.mark.parametrize("padded", [0, 1])
def test_uint8_input(float_layers: str, padded: int, tmp_path: Path) -> None:
    """Raw pixels give what the source gives for normalised ones."""
    b = Builder((3, 9, 9))
    model = b.model(b.conv("x", 3, 8, pads=[padded] * 4))
    pixels = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0)
    u = np.random.default_rng(0).integers(0, 256, (6, 3, 9, 9), dtype=np.uint8)
    path = tmp_path / "net.bwm"
    given: dict[str, Any] = {"calibration": u} if float_layers == "int8" else {}
    compile(model, path, float_layers=float_layers, uint8_input=True, pixels=pixels, **given)
    session = runtime.Session(path)
    assert session.inputs[0].dtype == np.uint8
    got, wanted = session.run(u), onnxruntime(model, pixels.normalized(u))[0]
    tolerance = 1e-5 if float_layers == "fp32" else 0.02
    assert np.abs(got - wanted).max() <= tolerance * np.ptp(wanted)
    checked = verify(model, path, u)
    assert checked.ok, str(checked)
    assert checked.source is not None
    assert checked.source.rms_error < (1e-5 if float_layers == "fp32" else 0.02)


def test_the_graph_normalises(tmp_path: Path) -> None:
    """A Sub and a Div at the head take raw pixels as floats; no mean is needed."""
    b = Builder((3, 6, 6))
    x = b.op(
        "Div", b.op("Sub", "x", b.const([[[120.0]], [[110.0]], [[100.0]]])), b.const([[[58.0]], [[57.0]], [[56.0]]])
    )
    model = b.model(b.conv(x, 3, 4))
    u = np.random.default_rng(1).integers(0, 256, (5, 3, 6, 6), dtype=np.uint8)
    compile(model, tmp_path / "net.bwm", uint8_input=True, float_layers="int8", calibration=u)
    program = read(tmp_path / "net.bwm")
    assert [type(op) for op in program.ops] == [QConv]
    wanted = onnxruntime(model, u.astype(np.float32))[0]
    assert np.abs(runtime.Session(tmp_path / "net.bwm").run(u) - wanted).max() < 0.02 * np.ptp(wanted)


def test_nobody_says_how_pixels_are_normalised(tmp_path: Path) -> None:
    b = Builder((3, 6, 6))
    with pytest.raises(CompileError, match="mean and std"):
        compile(b.model(b.conv("x", 3, 4)), tmp_path / "net.bwm", uint8_input=True)
    with pytest.raises(CompileError, match="2 numbers, the model's input has 3"):
        compile(b.model(b.conv("x", 3, 4)), tmp_path / "n", uint8_input=True, pixels=Pixels((0.5, 0.5), (1.0, 1.0)))
    with pytest.raises(CompileError, match="std"):
        Pixels((0.5,), (0.0,))
    assert not list(tmp_path.iterdir())


# --- bad samples


def small() -> tuple[Any, tuple[int, ...]]:
    b = Builder((3, 6, 6))
    return b.model(b.conv("x", 3, 4)), b.shape


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((4, 3, 6, 5), np.float32), r"\['N', 3, 6, 6\] is expected"),
        (np.zeros((3, 6, 6), np.float32), r"x\[None\]"),
        (np.zeros((0, 3, 6, 6), np.float32), "there are no calibration samples"),
        ([], "there are no calibration samples"),
        (np.full((4, 3, 6, 6), np.nan, np.float32), "4 of the 4 calibration samples of 'x' hold NaN"),
        (np.zeros((4, 3, 6, 6), np.uint8), "uint8; float32 is expected"),
        (np.zeros((1, 3, 6, 6), np.float32), "at least 2"),
        ({"y": np.zeros((4, 3, 6, 6), np.float32)}, r"have no \['x'\]"),
        (7, "an array or batches"),
        (None, "need calibration samples"),
    ],
)
def test_bad_calibration(samples: Any, message: str, tmp_path: Path) -> None:
    model, _ = small()
    for modes in ({"float_layers": "int8"}, {"residual": "int16"}):
        with pytest.raises(CompileError, match=message):
            compile(model, tmp_path / "net.bwm", calibration=samples, **modes)
    assert not list(tmp_path.iterdir())


def test_bad_modes(tmp_path: Path) -> None:
    model, shape = small()
    with pytest.raises(CompileError, match="'int4'; known are fp32, int8"):
        compile(model, tmp_path / "net.bwm", float_layers="int4", calibration=images(shape, 4))
    with pytest.raises(CompileError, match="nothing is quantized"):
        compile(model, tmp_path / "net.bwm", calibration=images(shape, 4))
    with pytest.raises(CompileError, match=r"integers of shape \[3\]"):
        compile(
            model, tmp_path / "net.bwm", float_layers="int8", calibration=images(shape, 4),
            evaluation=images(shape, 3), labels=[1, 2],
        )  # fmt: skip
    with pytest.raises(CompileError, match="optimize"):
        compile(model, tmp_path / "net.bwm", float_layers="int8", calibration=images(shape, 4), optimize=False)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_batches_are_joined(sizes: list[int]) -> None:
    model, shape = small()
    program = build(model)
    batches = [images(shape, n, n) for n in sizes]
    found = gather(iter(batches), program, "calibration")
    np.testing.assert_array_equal(found.arrays[0], np.concatenate(batches))
    np.testing.assert_array_equal(gather([{"x": b} for b in batches], program, "c").arrays[0], found.arrays[0])
    assert sum(len(b[0]) for b in found.batches(3)) == len(found)


def test_constant_activations(tmp_path: Path) -> None:
    """An input that is 0 everywhere has no range; the file still works."""
    model, shape = small()
    compile(model, tmp_path / "net.bwm", float_layers="int8", calibration=np.zeros((4, *shape), np.float32))
    x = np.zeros((2, *shape), np.float32)
    np.testing.assert_allclose(runtime.Session(tmp_path / "net.bwm").run(x), onnxruntime(model, x)[0], atol=1e-6)
