"""Models that run partly in onnxruntime: the whole equals onnxruntime's answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bitwright.compiler import CompileError, UnsupportedModelError, VerifyError, compile, inspect, verify
from bitwright.compiler.pixels import Pixels
from bitwright.runtime import InputError, Session

from .graphs import Array, Builder, onnxruntime
from .random_graphs import C, H, W, random_graph


def parts_of(model: onnx.ModelProto, path: Path) -> list[str]:
    """Compiles; kinds of the parts, [] for a file without parts."""
    report = compile(model, path)
    return [] if report.partition is None else [part.kind for part in report.partition.parts]


def check_equal(session: Session, wanted: Sequence[Array], got: Any) -> None:
    """The outputs of a session against the reference's: types, shapes, values."""
    results = got if isinstance(got, list) else [got]
    for info, a, b in zip(session.outputs, results, wanted, strict=True):
        assert a.dtype == b.dtype == info.dtype
        assert a.shape == b.shape
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        spread = float(np.ptp(b.astype(np.float64))) or 1.0
        tolerance = 2e-3 if a.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol=0, atol=tolerance * spread)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 9), batch=st.integers(1, 4))
def test_random_graphs(tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int, batch: int) -> None:
    model = random_graph(seed, steps)
    path = tmp_path_factory.mktemp("random") / "net.bwm"
    x = np.random.default_rng(seed).standard_normal((batch, C, H, W)).astype(np.float32)
    wanted = onnxruntime(model, x)
    report = compile(model, path)
    session = Session(path)
    check_equal(session, wanted, session.run(x))
    # the parts and what was computed at compile time are all nodes, each once
    found = inspect(path)
    if report.partition is not None:
        assert len(found.nodes) == report.nodes == sum(report.partition.places.values())
        assert all(n.why for n in found.nodes)
        assert sum(p.copies for p in found.parts) == report.partition.boundary_copies
    assert sum(found.bytes_by_kind.values()) == path.stat().st_size


def mixed() -> Builder:
    """conv, BinaryConv, Relu | Softmax | BinaryConv, Flatten, Gemm | Softmax."""
    b = Builder((3, 8, 8))
    y = b.bconv(b.conv("x", 3, 16, pads=[1] * 4), 16, 32, pads=[1] * 4)
    s = b.op("Softmax", b.op("Relu", y), axis=1)
    flat = b.op("Flatten", b.bconv(s, 32, 8, pads=[1] * 4))
    b.op("Softmax", b.op("Gemm", flat, b.const(b.normal(512, 5))))
    return b


def last(b: Builder) -> str:
    return str(b.nodes[-1].output[0])


def test_alternating_parts(tmp_path: Path) -> None:
    b = mixed()
    model = b.model(last(b))
    report = compile(model, tmp_path / "net.bwm")
    assert report.partition is not None
    assert [p.kind for p in report.partition.parts] == ["native", "onnxruntime", "native", "onnxruntime"]
    assert report.partition.places == {"native": 6, "onnxruntime": 2, "folded": 0}
    assert report.partition.boundary_copies == 3
    assert report.partition.boundary_bytes == (32 * 64 * 2 + 5) * 4
    assert "Softmax (2 nodes): the engine has no such operator." in str(report)
    x = b.normal(5, 3, 8, 8)
    for threads in (1, 2):
        session = Session(tmp_path / "net.bwm", threads=threads)
        check_equal(session, onnxruntime(model, x), session.run(x))
    whole = Session((tmp_path / "net.bwm").read_bytes())
    np.testing.assert_array_equal(whole.run({"x": x}), session.run(x))


def test_native_models_are_the_same_files(tmp_path: Path) -> None:
    b = Builder((3, 8, 8))
    model = b.model(b.bconv(b.conv("x", 3, 16), 16, 8))
    for only in (False, True):
        report = compile(model, tmp_path / f"{only}.bwm", name="net", native_only=only)
        assert report.partition is None
    assert (tmp_path / "False.bwm").read_bytes() == (tmp_path / "True.bwm").read_bytes()
    assert (tmp_path / "True.bwm").read_bytes()[:4] == b"\x89BWM"
    found = inspect(tmp_path / "True.bwm")
    assert {n.name for n in found.nodes} == {"node_0", "node_1"}
    assert all(n.place == "native" for n in found.nodes)
    assert not found.parts


def test_native_only_lists_the_operators(tmp_path: Path) -> None:
    b = mixed()
    with pytest.raises(UnsupportedModelError) as caught:
        compile(b.model(last(b)), tmp_path / "net.bwm", native_only=True)
    assert [p.op for p in caught.value.problems] == ["Softmax", "Softmax"]
    assert not list(tmp_path.iterdir())


def test_islands_go_to_onnxruntime(tmp_path: Path) -> None:
    """A Relu alone is not worth two copies; a binary convolution is, and so is a large float one."""
    for work, kinds in (
        (lambda b, x: b.op("Relu", x), ["onnxruntime"]),
        (lambda b, x: b.bconv(x, 6, 6), ["onnxruntime", "native", "onnxruntime"]),
        (lambda b, x: b.conv(x, 6, 64, (3, 3)), ["onnxruntime", "native", "onnxruntime"]),
    ):
        b = Builder((6, 8, 8))
        y = b.op("Celu", work(b, b.op("Softmax", "x", axis=1)))
        model = b.model(y)
        path = tmp_path / "net.bwm"
        assert parts_of(model, path) == kinds
        x = b.normal(2, 6, 8, 8)
        session = Session(path)
        check_equal(session, onnxruntime(model, x), session.run(x))
        if kinds == ["onnxruntime"]:
            assert "too little work" in next(n.why for n in inspect(path).nodes if n.op == "Relu")


def test_dialect_nodes_in_onnxruntime_bring_their_bodies(tmp_path: Path) -> None:
    """A binary layer whose input cannot enter the engine (its height is free) runs by its function body."""
    b = Builder((6, "height", 5))  # type: ignore[arg-type]
    model = b.model(b.bconv("x", 6, 8, pads=[1] * 4), functions=False)
    path = tmp_path / "net.bwm"
    report = compile(model, path)
    assert report.partition is not None
    assert "only the first axis" in str(report)
    session = Session(path)
    with_bodies = b.model("binary_0")
    for height in (3, 7):
        x = b.normal(2, 6, height, 5)
        check_equal(session, onnxruntime(with_bodies, x), session.run(x))
    assert session.inputs[0].shape == ("N", 6, "height", 5)


def several() -> onnx.ModelProto:
    """float16, int8, bool and int64 inputs and outputs beside a binary layer."""
    b = Builder((6, 4, 4))
    F16, I8, I64, BOOL = TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT64, TensorProto.BOOL
    for name, dtype, shape in (("h", F16, (6, 4, 4)), ("q", I8, (6, 4, 4)), ("mask", BOOL, (1, 1, 1)), ("k", I64, ())):
        b.inputs.append(helper.make_tensor_value_info(name, dtype, ["N", *shape]))
    y = b.op("Add", b.op("Cast", "h", to=TensorProto.FLOAT), b.op("Cast", "q", to=TensorProto.FLOAT))
    z = b.bconv(b.op("Where", "mask", y, "x"), 6, 8, pads=[1] * 4)
    half = b.op("Cast", z, to=F16)
    small = b.op("Cast", b.op("Clip", z, b.const(-100.0), b.const(100.0)), to=I8)
    big = b.op("Greater", z, b.const(0.0))
    more = b.op("Add", "k", b.ints(7))
    return b.model(half, small, big, more, z)


def several_inputs(n: int) -> dict[str, Array]:
    r = np.random.default_rng(n)
    return {
        "x": r.standard_normal((n, 6, 4, 4)).astype(np.float32),
        "h": r.standard_normal((n, 6, 4, 4)).astype(np.float16),
        "q": r.integers(-3, 4, (n, 6, 4, 4)).astype(np.int8),
        "mask": r.random((n, 1, 1, 1)) < 0.5,
        "k": r.integers(-(2**40), 2**40, n),
    }


def test_types_at_the_boundary(tmp_path: Path) -> None:
    model = several()
    for info in model.graph.output:
        info.ClearField("type")
    path = tmp_path / "net.bwm"
    assert "native" in parts_of(model, path)
    session = Session(path)
    assert [str(i.dtype) for i in session.inputs] == ["float32", "float16", "int8", "bool", "int64"]
    assert [str(o.dtype) for o in session.outputs] == ["float16", "int8", "bool", "int64", "float32"]
    for n in (1, 3):
        feed = several_inputs(n)
        wanted = onnxruntime(model, *feed.values())
        check_equal(session, wanted, session.run(feed))
        check_equal(session, wanted, session.run(*feed.values()))
    feed["k"] = feed["k"].astype(np.int32)
    session.run(feed)  # widened, as ids are


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda f: f.pop("h"), InputError, r"missing: \['h'\]"),
        (lambda f: f.update(extra=f["x"]), InputError, r"unknown: \['extra'\]"),
        (lambda f: f.update(h=f["h"].astype(np.float32)), TypeError, "'h' is float32; float16 is expected"),
        (lambda f: f.update(q=f["q"].astype(np.uint8)), TypeError, "'q' is uint8; int8"),
        (lambda f: f.update(x=f["x"][:, :5]), InputError, r"'x' has the shape \[3, 5, 4, 4\]"),
        (lambda f: f.update(x=f["x"][0]), InputError, "batch dimension is missing"),
        (lambda f: f.update(q=f["q"][:2]), InputError, "'q' has the shape .*'N' is 2; in input 'x' it is 3"),
    ],
)
def test_wrong_inputs(
    tmp_path: Path, change: Callable[[dict[str, Array]], Any], error: type[Exception], text: str
) -> None:
    compile(several(), tmp_path / "net.bwm")
    feed = several_inputs(3)
    change(feed)
    with pytest.raises(error, match=text):
        Session(tmp_path / "net.bwm").run(feed)


def test_nobody_has_the_operator(tmp_path: Path) -> None:
    b = Builder((6, 4, 4))
    model = b.model(b.op("Thing", "x", domain="com.example"))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(
        CompileError, match=r"onnxruntime .* does not take it.*\n  - com.example::Thing: the engine has no"
    ):
        compile(model, tmp_path / "net.bwm")
    assert not list(tmp_path.iterdir())


def test_verify(tmp_path: Path) -> None:
    b = mixed()
    model = b.model(last(b))
    path = tmp_path / "net.bwm"
    compile(model, path)
    report = verify(model, path, b.normal(20, 3, 8, 8), batch=8)
    assert report.ok
    assert report.samples == report.argmax_equal == 20
    assert [v.kind for v in report.values] == ["FConv", "BConv", "Map", "BConv", "FConv"]
    assert [v.op for v in report.values] == [0, 1, 2, 3, 4]
    assert all(v.compared for v in report.values)
    # another model's weights: found in the layer that has them
    other = mixed()
    other.constants[0].CopyFrom(numpy_helper.from_array(b.normal(16, 3, 3, 3), other.constants[0].name))
    wrong = verify(other.model(last(other)), path, b.normal(20, 3, 8, 8))
    assert not wrong.ok
    assert [v.ok for v in wrong.values] == [False, True, True, True, True]


def test_quantized_parts(tmp_path: Path) -> None:
    b = mixed()
    model = b.model(last(b))
    samples = {"x": b.normal(64, 3, 8, 8)}
    with pytest.raises(CompileError, match="calibration samples"):
        compile(model, tmp_path / "net.bwm", float_layers="int8")
    labels = np.arange(40) % 5
    report = compile(
        model, tmp_path / "net.bwm", float_layers="int8", calibration=samples, evaluation=b.normal(40, 3, 8, 8),
        labels=labels,
    )  # fmt: skip
    assert report.quantization is not None
    assert len(report.quantization.layers) == 2  # the convolution of the first part, the Gemm of the second
    assert report.int8_macs > 0
    found = report.quantization.accuracy
    assert found.samples == 40
    assert found.agreement is not None
    assert found.agreement > 0.7
    assert found.top1 is not None
    assert 0 < found.rms_error < 0.5
    session = Session(tmp_path / "net.bwm")
    x = b.normal(30, 3, 8, 8)
    assert (session.run(x).argmax(1) == onnxruntime(model, x)[0].argmax(1)).mean() > 0.7
    inspection = inspect(tmp_path / "net.bwm")
    assert inspection.quantization is not None
    assert "int8" in str(inspection)
    with pytest.raises(VerifyError, match="natively as a whole"):
        verify(model, tmp_path / "net.bwm", x)


def test_pixels_into_the_first_part(tmp_path: Path) -> None:
    b = mixed()
    model = b.model(last(b))
    pixels = Pixels((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 255.0)
    compile(model, tmp_path / "net.bwm", uint8_input=True, pixels=pixels)
    session = Session(tmp_path / "net.bwm")
    assert session.inputs[0].dtype == np.uint8
    x = b.rng.integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    check_equal(session, onnxruntime(model, pixels.normalized(x)), session.run(x))
    b = Builder((3, 8, 8))
    with pytest.raises(CompileError, match=r"taken by 1 parts \(onnxruntime\)"):
        compile(b.model(b.bconv(b.op("Celu", "x"), 3, 8)), tmp_path / "a.bwm", uint8_input=True, pixels=pixels)


def test_nothing_to_quantize(tmp_path: Path) -> None:
    b = Builder((3, 8, 8))
    with pytest.raises(CompileError, match="every node runs in onnxruntime"):
        compile(b.model(b.op("Celu", "x")), tmp_path / "a.bwm", float_layers="int8", calibration=b.normal(8, 3, 8, 8))


def test_a_reshape_that_keeps_samples_apart_leads_back_into_the_engine(tmp_path: Path) -> None:
    """view(-1, C, H, W), whose batch ONNX's shape inference does not know."""
    b = Builder((6, 4, 4))
    wide = b.op("Reshape", b.op("Celu", b.op("Flatten", "x")), b.ints(-1, 6, 4, 4))
    model = b.model(b.bconv(wide, 6, 8))
    assert parts_of(model, tmp_path / "net.bwm") == ["onnxruntime", "native"]
    session = Session(tmp_path / "net.bwm")
    x = b.normal(3, 6, 4, 4)
    check_equal(session, onnxruntime(model, x), session.run(x))
