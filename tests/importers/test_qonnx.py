"""QONNX, FINN and Brevitas files: the answers of independent definitions, of the `qonnx` package, and of the engine."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.graphs import Array, Builder, onnxruntime
from tests.importers.patterns import binary_layers, engine, grid, imported, operators
from tests.importers.qonnx_reference import DOMAINS, evaluate, quant, rounded

from bitwright import cli, importers
from bitwright.data.root import data_root
from bitwright.importers import ImportModelError

FIXTURES = Path(__file__).parent / "fixtures" / "qonnx"
QONNX = DOMAINS[0]


class QonnxBuilder(Builder):
    """A graph with operators of QONNX."""

    domain = QONNX

    def bipolar(self, x: str, scale: Any = 1.0) -> str:
        return str(self.op("BipolarQuant", x, self.const(scale), domain=self.domain))

    def quant(self, x: str, bits: int, scale: Any = 1.0, zero: Any = 0.0, **attrs: Any) -> str:
        inputs = [x, self.const(scale), self.const(zero), self.const(bits)]
        given = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attrs}
        return str(self.op("Quant", *inputs, domain=self.domain, **given))

    def thresholds(self, x: str, table: Any, **attrs: Any) -> str:
        given = {"out_dtype": "INT8", **attrs}
        return str(self.op("MultiThreshold", x, self.const(table), domain=self.domain, **given))

    def file(self, *outputs: str) -> onnx.ModelProto:
        model = self.model(*outputs)
        model.opset_import[1].domain = self.domain
        return model

    def latent(self, *shape: int) -> str:
        return self.const(self.normal(*shape))


def check(b: QonnxBuilder, x: Array, *, layers: int, native: bool = True, exact: bool = True) -> importers.Imported:
    model = b.file(b.nodes[-1].output[0])
    found = imported(model)
    assert found.format == "qonnx"
    assert binary_layers(found.model) == layers, str(found)
    (wanted,) = evaluate(model, x)
    for (got,) in (onnxruntime(found.model, x), *([engine(found.model, x)] if native else [])):
        if exact:
            np.testing.assert_array_equal(got, wanted)
        else:
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * (float(np.ptp(wanted)) or 1))
    return found


@pytest.mark.parametrize("domain", DOMAINS)
def test_bipolar_network(domain: str) -> None:
    b = QonnxBuilder((5, 8, 8))
    b.domain = domain
    x = b.op("Conv", b.bipolar("x"), b.bipolar(b.latent(4, 5, 3, 3), 0.5), pads=[1, 1, 1, 1])
    x = b.op("MaxPool", b.bipolar(str(b.op("Add", x, b.const(-0.25))), 0.25), kernel_shape=[2, 2], strides=[2, 2])
    b.op("MatMul", b.op("Flatten", x), b.bipolar(b.latent(64, 6), 2.0))
    check(b, grid((3, 5, 8, 8), 1), layers=2)


def test_zero_is_plus_one_in_bipolar_quant() -> None:
    b = QonnxBuilder((4,))
    b.op("MatMul", b.bipolar("x"), b.const(np.where(np.eye(4) > 0, 1, -1)))
    x = np.array([[0.0, -0.0, 1e-45, -1e-45]], np.float32)
    check(b, x, layers=1)


@settings(max_examples=60)
@given(st.data())
def test_quant(data: st.DataObject) -> None:
    """Any Quant of an activation, alone, against the definition."""
    b = QonnxBuilder((3, 4), seed=data.draw(st.integers(0, 999)))
    bits = data.draw(st.integers(1, 8))
    signed = data.draw(st.booleans())
    narrow = data.draw(st.booleans()) and bits > 1
    mode = data.draw(st.sampled_from(["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]))
    per_channel = data.draw(st.booleans())
    scale = np.exp(b.normal(3, 1)) if per_channel else np.exp(b.normal())
    zero = data.draw(st.sampled_from([0, 0, 3]))
    b.quant("x", bits, scale, zero, signed=int(signed), narrow=int(narrow), rounding_mode=mode)
    model = b.file(b.nodes[-1].output[0])
    x = 4 * b.normal(50, 3, 4)
    x[:10] = (rounded(x[:10], "ROUND") + 0.5) * scale
    (got,) = onnxruntime(imported(model).model, x)
    wanted = quant(x, np.float32(scale), np.float32(zero), np.float32(bits), signed=signed, narrow=narrow, mode=mode)
    np.testing.assert_array_equal(got, wanted)


@settings(max_examples=40)
@given(st.data())
def test_level_layers(data: st.DataObject) -> None:
    """k-bit activations and 1-bit weights: LevelConv and LevelLinear."""
    b = QonnxBuilder((4, 6, 6), seed=data.draw(st.integers(0, 999)))
    bits = data.draw(st.integers(2, 8))
    signed = data.draw(st.booleans())
    zero = data.draw(st.sampled_from([0, 0, 1])) if not signed else 0
    scale = data.draw(st.sampled_from([0.5, 1.0, 2.0]))
    narrow = data.draw(st.booleans())
    x = b.quant("x", bits, scale, zero, signed=int(signed), narrow=int(narrow))
    native = True
    if data.draw(st.booleans()):
        x = str(b.op("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1]))
    if data.draw(st.booleans()):
        pads = [1, 0, 1, 1] if data.draw(st.booleans()) else [0] * 4
        native = not (narrow and zero and any(pads))  # a Pad with another value than 0
        weight = b.bipolar(b.latent(3, 4, 3, 3), np.float32([0.5, 1, 2]).reshape(3, 1, 1, 1))
        b.op("Conv", x, weight, b.const([1, 2, 3]), pads=pads)
    else:
        flat = b.op("Flatten", x)
        size = int(onnxruntime(imported(b.file(flat)).model, grid((1, 4, 6, 6), 0))[0].shape[1])
        b.op("MatMul", flat, b.quant(b.latent(size, 3), 1, 0.5))
    check(b, grid((3, 4, 6, 6), 1, step=scale * 2 ** (bits - 5)), layers=1, native=native)


@pytest.mark.parametrize(("layout", "channels"), [("", 1), ("", 5), ("NCHW", 5), ("NHWC", 5), ("NHWC", 1)])
@pytest.mark.parametrize("steps", [1, 3, 20])
def test_multi_threshold(layout: str, channels: int, steps: int) -> None:
    shape = (5, 6, 7) if layout != "NHWC" else (6, 7, 5)
    b = QonnxBuilder(shape)
    table = np.sort(b.rng.integers(-12, 13, (channels, steps)), axis=1) * 0.125
    attrs = {"data_layout": layout} if layout else {}
    scale, bias = (2.0, -1.0) if steps == 1 else (0.5, -1.0)
    b.thresholds("x", table, out_scale=scale, out_bias=bias, **attrs)
    check(b, grid((3, *shape), 2), layers=0, native=steps < 20 and layout != "NHWC")


def test_multi_threshold_feeds_layers() -> None:
    b = QonnxBuilder((5, 6, 7))
    x = b.op("Conv", b.thresholds("x", [[0]], out_scale=2.0, out_bias=-1.0), b.bipolar(b.latent(4, 5, 3, 3)))
    x = b.thresholds(x, np.sort(b.rng.integers(-9, 9, (4, 3)), axis=1), out_bias=-2.0)
    x = b.op("Conv", x, b.bipolar(b.latent(3, 4, 2, 2)), pads=[1, 1, 1, 1])
    b.op("Relu", x)
    check(b, grid((2, 5, 6, 7), 3), layers=2)


def test_k_bit_weights_are_float_and_told() -> None:
    b = QonnxBuilder((5, 6, 7))
    b.op("Conv", "x", b.quant(b.latent(4, 5, 3, 3), 4, 0.25))
    found = check(b, grid((2, 5, 6, 7), 3), layers=0, exact=False)
    assert "Quant of a weight, 4 bits -> float weights" in str(found)


@pytest.mark.parametrize("inputs", [5, 6])
def test_trunc(inputs: int) -> None:
    b = QonnxBuilder((3, 4))
    wide = b.quant("x", 8, 0.25)
    if inputs == 5:
        args = [b.const(v) for v in (0.25, 0, 8, 4)]
        attrs: dict[str, Any] = {"rounding_mode": "FLOOR"}
    else:
        args = [b.const(v) for v in (0.25, 0, 8, 4.0, 4)]
        attrs = {"rounding_mode": "FLOOR", "signed": 1, "narrow": 0}
    b.op("Trunc", wide, *args, domain=QONNX, **attrs)
    model = b.file(b.nodes[-1].output[0])
    x = 16 * b.normal(50, 3, 4)
    q = np.clip(np.round(x / np.float32(0.25)), -128, 127)
    wanted = np.floor(q / 16) * (0.25 if inputs == 5 else 4)
    np.testing.assert_array_equal(onnxruntime(imported(model).model, x)[0], wanted.astype(np.float32))


def test_channels_last_operators() -> None:
    b = QonnxBuilder((6, 7, 4))
    bits = b.thresholds("x", np.zeros((1, 1)), out_scale=2.0, out_bias=-1.0, data_layout="NHWC")
    w = np.where(b.rng.random((5, 3, 3, 4)) < 0.5, -1, 1)
    last = "qonnx.custom_op.channels_last"
    window = {"kernel_shape": [3, 3], "strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1], "group": 1}
    x = b.op("Conv", bits, b.const(w), domain=last, **window)
    b.op("MaxPoolNHWC", x, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], domain=QONNX)
    model = b.file(b.nodes[-1].output[0])
    model.opset_import.append(onnx.helper.make_opsetid(last, 1))
    found = imported(model)
    assert binary_layers(found.model) == 1
    plain = Builder((6, 7, 4))
    first = plain.op("Transpose", "x", perm=[0, 3, 1, 2])
    bit = plain.op("Where", plain.op("GreaterOrEqual", first, plain.const(0)), plain.const(1), plain.const(-1))
    y = plain.op("Conv", bit, plain.const(w.transpose(0, 3, 1, 2)), pads=[1, 1, 1, 1])
    pooled = plain.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    x = grid((2, 6, 7, 4), 5)
    wanted = onnxruntime(plain.model(plain.op("Transpose", pooled, perm=[0, 2, 3, 1])), x)[0]
    np.testing.assert_array_equal(onnxruntime(found.model, x)[0], wanted)


def test_xnor_popcount() -> None:
    b = QonnxBuilder((9,))
    bits = b.thresholds("x", np.zeros((1, 1)))
    w = (b.rng.random((9, 4)) < 0.5).astype(np.float32)
    b.op("XnorPopcountMatMul", bits, b.const(w), domain=QONNX)
    found = imported(b.file(b.nodes[-1].output[0]))
    assert binary_layers(found.model) == 1
    x = grid((5, 9), 5)
    wanted = ((x >= 0)[:, :, None] == (w > 0)[None]).sum(axis=1)
    for run in (onnxruntime, engine):
        np.testing.assert_array_equal(run(found.model, x)[0], wanted)


ERRORS = {
    "scale that is no constant": (lambda b: b.op("BipolarQuant", "x", "x", domain=QONNX), "scale.*no constant"),
    "negative scale": (lambda b: b.bipolar("x", -1.0), "scale that is not positive: -1"),
    "infinite scale": (lambda b: b.bipolar("x", np.inf), "not finite"),
    "bits": (lambda b: b.quant("x", 33), r"bit width \[33.0\].*1 to 32"),
    "rounding": (lambda b: b.quant("x", 4, rounding_mode="SIDEWAYS"), "rounding_mode 'SIDEWAYS'; known are ROUND"),
    "signed": (lambda b: b.quant("x", 4, signed=2), "signed = 2, not 0 or 1"),
    "one level": (lambda b: b.quant("x", 1, signed=0, narrow=1), "one level only"),
    "wide scale": (lambda b: b.bipolar("x", np.ones((7, 1))), r"shape \[7, 1\] for an input \['N', 3, 4\]"),
    "nan": (lambda b: b.thresholds("x", [[0, np.nan]]), "NaN among its thresholds"),
    "thresholds": (lambda b: b.thresholds("x", [[0]] * 5), "thresholds for 5 channels"),
    "layout": (lambda b: b.thresholds("x", [[0]], data_layout="NHWC"), "data_layout 'NHWC' for an input of rank 3"),
    "inputs": (lambda b: b.op("Quant", "x", domain=QONNX), "has 1 inputs and 1 outputs"),
    "foreign": (lambda b: b.op("StreamingFIFO", "x", domain="finn.custom_op.fpgadataflow"), "nor is its domain"),
    "unknown": (
        lambda b: b.op("Im2Col", "x", domain=QONNX),
        "Im2Col.*is not supported; of that domain are BipolarQuant",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_node(name: str) -> None:
    make, message = ERRORS[name]
    b = QonnxBuilder((3, 4))
    make(b)
    with pytest.raises(ImportModelError, match=rf"'node_0'.*{message}"):
        imported(b.file(b.nodes[-1].output[0]))


@pytest.mark.parametrize("name", ["brevitas_bipolar", "brevitas_2bit"])
def test_brevitas_exports(name: str) -> None:
    """What the qonnx package computed for a file that Brevitas wrote (fixtures/qonnx/generate.py)."""
    found = importers.load(FIXTURES / f"{name}.onnx")
    data = np.load(FIXTURES / f"{name}.npz")
    assert {op for op in operators(found.model) if "Quant" in op} == set()
    assert binary_layers(found.model) == (3 if name == "brevitas_bipolar" else 2)
    for run in (onnxruntime, engine):
        got = np.concatenate([run(found.model, x[None])[0] for x in data["input"]])
        if name == "brevitas_bipolar":
            np.testing.assert_array_equal(got, data["output"])
        else:
            np.testing.assert_allclose(got, data["output"], rtol=0, atol=1e-5 * np.ptp(data["output"]))


def test_the_qonnx_package_agrees_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = pytest.importorskip("qonnx.core.onnx_exec", reason="the qonnx package is not installed")
    wrapper = pytest.importorskip("qonnx.core.modelwrapper")
    monkeypatch.setattr(onnx, "IR_VERSION", 10)  # it runs node by node in onnxruntime, which may not know the newest
    for name in ("brevitas_bipolar", "brevitas_2bit"):
        model = wrapper.ModelWrapper(str(FIXTURES / f"{name}.onnx"))
        x = np.load(FIXTURES / f"{name}.npz")["input"][:1]
        outputs = execution.execute_onnx(model, {model.graph.input[0].name: x})
        np.testing.assert_allclose(next(iter(outputs.values())), evaluate(model.model, x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.data
def test_finn_mnist(capsys: pytest.CaptureFixture[str]) -> None:
    """FINN's tfc_w1a1: its expected output, and 93.0 % of the MNIST test images."""
    import onnxruntime as ort

    folder = data_root() / "pretrained" / "finn"
    if not folder.exists():
        pytest.skip("FINN's model is not there")
    found = importers.load(folder / "tfc_w1a1_mnist.onnx")
    assert operators(found.model).count("BinaryLinear") == 4
    session = ort.InferenceSession(found.model.SerializeToString())

    def classes(x: Array) -> Array:
        rows = x.reshape(-1, 1, 1, 28, 28).astype(np.float32)
        return np.array([int(session.run(None, {"global_in": row})[0].item()) for row in rows])

    np.testing.assert_array_equal(
        classes(np.load(folder / "input.npy")), np.load(folder / "expected_output.npy").ravel()
    )
    mnist = data_root() / "mnist"
    pixels, names = (
        gzip.decompress((mnist / f"t10k-{f}-ubyte.gz").read_bytes()) for f in ("images-idx3", "labels-idx1")
    )
    images, labels = np.frombuffer(pixels, np.uint8, offset=16), np.frombuffer(names, np.uint8, offset=8)
    assert round(float((classes(images) == labels).mean()), 3) == 0.930
    assert cli.main(["import", str(folder / "tfc_w1a1_mnist.onnx")]) == 0
    assert "MatMul, weights ±1, input ±1 -> BinaryLinear, 784 -> 64" in capsys.readouterr().out
