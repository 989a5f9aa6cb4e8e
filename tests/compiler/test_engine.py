"""Compile, run in the native engine, compare with onnxruntime: random networks, batch sizes, threads, every kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitwright.compiler import VerifyError, build, compile, inspect, verify
from bitwright.compiler.bwm import encode
from bitwright.compiler.bwm_read import read
from bitwright.compiler.interpreter import run
from bitwright.compiler.program import BConv, Const, StepKind

from .graphs import Array, Builder, onnxruntime
from .networks import random_network
from .test_lower import SIMPLE

runtime = pytest.importorskip("bitwright.runtime", reason="the native module is not built")
ISAS = sorted({k["isa"] for k in runtime.kernels() if k["supported"] and k["operation"] == "bconv"})


def images(shape: tuple[int, ...], n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", SIMPLE)
def test_operator(name: str) -> None:
    shape, fn = SIMPLE[name]
    b = Builder(shape)
    model = b.model(fn(b))
    x = images(shape, 3)
    (wanted,) = onnxruntime(model, x)
    for optimize in (False, True):
        got = runtime.Session(encode(build(model, optimize=optimize))).run(x)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * (float(np.ptp(wanted)) or 1))


@pytest.mark.parametrize("seed", range(40))
def test_random_network(seed: int, tmp_path: Path) -> None:
    model, shape = random_network(seed)
    path = tmp_path / "net.bwm"
    compile(model, path)
    report = verify(model, path, images(shape, 9, seed), batch=4)
    assert report.ok, str(report)
    assert all(v.flips == 0 or v.max_distance < 1e-6 for v in report.values)
    assert not report.not_compared, report.not_compared
    x = images(shape, 5, seed + 1)
    session = runtime.Session(path)
    whole = session.run(x)
    np.testing.assert_array_equal(np.concatenate([session.run(x[i : i + 1]) for i in range(5)]), whole)
    np.testing.assert_array_equal(runtime.Session(path, threads=2).run(x), whole)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("seed", [1, 5, 11, 17, 23])
def test_every_kernel(isa: str, seed: int, tmp_path: Path) -> None:
    model, shape = random_network(seed)
    path = tmp_path / "net.bwm"
    compile(model, path)
    report = verify(model, path, images(shape, 7, seed), kernel=isa, threads=2, batch=3)
    assert report.ok, str(report)


def binary_net() -> tuple[Builder, str]:
    """Binary from end to end: results are equal in every bit."""
    b = Builder((40, 9, 9))
    y = b.batch_norm(b.bconv("x", 40, 36, pads=(1, 1, 1, 1), module="one"), 36)
    y = b.batch_norm(b.bconv(y, 36, 64, stride=2, module="two"), 64)
    return b, b.blinear(b.op("Flatten", y), 64 * 16, 10, scale=1.0, bias=0.0)


def test_binary_network_is_exact(tmp_path: Path) -> None:
    b, y = binary_net()
    model = b.model(y)
    compile(model, tmp_path / "net.bwm")
    x = images(b.shape, 16)
    np.testing.assert_array_equal(runtime.Session(tmp_path / "net.bwm").run(x), onnxruntime(model, x)[0])
    np.testing.assert_array_equal(run(read(tmp_path / "net.bwm"), {"x": x})[y], onnxruntime(model, x)[0])
    report = verify(model, tmp_path / "net.bwm", x)
    assert report.ok
    assert report.outputs_equal == 16
    assert report.flips == 0
    assert all(v.equal == v.compared for v in report.values)
    assert sum(v.integers for v in report.values) == 160


def broken(tmp_path: Path, change: str) -> tuple[object, Path]:
    """A file that differs from its source in one constant."""
    b, y = binary_net()
    program = build(b.model(y))
    op = [op for op in program.ops if isinstance(op, BConv)][1]
    (step,) = op.steps
    assert step.kind is StepKind.THRESHOLD
    assert step.a is not None
    if change == "threshold":
        step.a = Const(step.a.data + np.int32(2))
    else:
        op.weight = Const(op.weight.data ^ (np.arange(op.weight.data.size) == 2).astype(np.uint32))
    path = tmp_path / "broken.bwm"
    path.write_bytes(encode(program))
    return b.model(y), path


@pytest.mark.parametrize("change", ["threshold", "weight"])
def test_verify_finds_a_bug_and_where(change: str, tmp_path: Path) -> None:
    model, path = broken(tmp_path, change)
    report = verify(model, path, images((40, 9, 9), 32))  # type: ignore[arg-type]
    assert not report.ok
    assert "NOT ok" in str(report)
    bad = [v for v in report.values if not v.ok]
    assert [v.name for v in bad] == ["two"]  # the layers behind it got the reference's inputs
    assert bad[0].flips > 0
    assert bad[0].examples
    assert bad[0].max_distance > 1e-5
    assert report.to_dict()["values"][bad[0].op]["flips"] == bad[0].flips


def test_a_flip_at_the_threshold_is_no_bug(tmp_path: Path) -> None:
    """A reference that rounds otherwise: the bit flips, its distance is reported, and it explains the other answer."""
    b = Builder((4, 3, 3))
    y = b.bconv(b.op("Relu", "x"), 4, 6, scale=1.0, bias=0.0, threshold=0.5)
    model = b.model(b.op("Flatten", b.op("GlobalAveragePool", y)))
    compile(model, tmp_path / "net.bwm")
    x = images(b.shape, 8)
    x[3] = 0.5  # lies exactly on the threshold

    class Other:
        def tensors(self, inputs: Array) -> dict[str, Array]:
            from bitwright.compiler.reference import OnnxRuntime

            moved = inputs.copy()
            moved[inputs == 0.5] = np.float32(0.5) - np.float32(1e-7)
            return OnnxRuntime(model, ["relu_0", y]).tensors(moved)

    report = verify(model, tmp_path / "net.bwm", x, reference=Other())
    (bits,) = [v for v in report.values if v.dtype == "bits"]
    assert bits.flips == 36
    assert 0 < bits.max_distance < 1e-5
    assert bits.ok
    assert {f.sample for f in bits.examples} == {3}
    assert all(d.explained and d.sample == 3 for d in report.disagreements)
    assert report.ok


def test_verify_input_forms_and_errors(tmp_path: Path) -> None:
    b, y = binary_net()
    model = b.model(y)
    path = tmp_path / "net.bwm"
    compile(model, path)
    x = images(b.shape, 5)
    assert verify(model, path, {"x": x}, batch=2).samples == 5
    assert verify(model, path, iter([x[:2], {"x": x[2:]}]), batch=100).samples == 5
    with pytest.raises(VerifyError, match="shape"):
        verify(model, path, x[:, :3])
    with pytest.raises(VerifyError, match="no inputs"):
        verify(model, path, [])
    with pytest.raises(VerifyError, match="unknown reference 'tensorflow'"):
        verify(model, path, x, reference="tensorflow")
    with pytest.raises(TypeError, match="tensors"):
        verify(model, path, x, reference=3)
    other = Builder((40, 9, 9))
    with pytest.raises(VerifyError, match="another model"):
        verify(other.model(other.op("Relu", "x")), path, x)


def test_partial_reference(tmp_path: Path) -> None:
    """A reference that knows the outputs only: the rest is reported as not compared."""
    b, y = binary_net()
    model = b.model(y)
    compile(model, tmp_path / "net.bwm")
    x = images(b.shape, 5)
    report = verify(model, tmp_path / "net.bwm", x, reference=lambda a: {y: onnxruntime(model, a)[0], "x": a})
    assert report.ok
    assert len(report.not_compared) == 2


def test_inspect(tmp_path: Path) -> None:
    b, y = binary_net()
    compile(b.model(y), tmp_path / "net.bwm", name="tiny")
    found = inspect(tmp_path / "net.bwm")
    assert found.name == "tiny"
    assert found.file_bytes == (tmp_path / "net.bwm").stat().st_size == sum(found.bytes_by_kind.values())
    assert min(found.bytes_by_kind.values()) >= 0
    weights = 36 * 9 * 2 * 4 + 64 * 9 * 2 * 4 + 10 * 16 * 2 * 4
    assert found.bytes_by_kind["binary weights"] == weights
    assert found.binary_macs == 81 * 36 * 9 * 40 + 16 * 64 * 9 * 36 + 10 * 1024
    assert found.binary_weights == 36 * 9 * 40 + 64 * 9 * 36 + 10 * 1024
    assert found.float_macs == 0
    assert [x.module for x in found.layers][1:3] == ["one", "two"]
    assert found.layers[1].kernel.startswith("bconv")
    text = str(found)
    for word in ("tiny", "two", "threshold", "binary weights", "bconv"):
        assert word in text
    facts = runtime.Session(tmp_path / "net.bwm").facts
    assert facts["arena_bytes"] == found.arena_bytes
    import json

    json.dumps(found.to_dict())


def test_verify_with_ids(tmp_path: Path) -> None:
    from onnx import TensorProto

    b = Builder((6,), dtype=TensorProto.INT64)
    y = b.blinear(b.embedding("x", 11, 40, b.normal(11)), 40, 8, threshold=0.1)
    model = b.model(b.op("ReduceMean", y, b.ints(1), keepdims=0))
    compile(model, tmp_path / "net.bwm")
    x = np.random.default_rng(0).integers(0, 11, (20, 6))
    report = verify(model, tmp_path / "net.bwm", x, batch=8)
    assert report.ok, str(report)
    assert report.samples == 20


def test_an_unexplained_answer_is_a_bug(tmp_path: Path) -> None:
    """A reference whose last layer says something else without any bit near its threshold."""
    b, y = binary_net()
    model = b.model(y)
    compile(model, tmp_path / "net.bwm")
    x = images(b.shape, 4)

    def reference(a: Array) -> dict[str, Array]:
        wanted = onnxruntime(model, a)[0]
        return {y: wanted[:, ::-1], "x": a}

    report = verify(model, tmp_path / "net.bwm", x, reference=reference)
    assert not report.ok
    assert report.disagreements
    assert not any(d.explained for d in report.disagreements)
    assert "NOT explained" in str(report)
