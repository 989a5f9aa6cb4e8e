"""Our ONNX written as QONNX: the same numbers by independent definitions, and back again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.compiler.graphs import Builder, onnxruntime
from tests.importers.patterns import binary_layers, grid, imported
from tests.importers.qonnx_reference import evaluate

from bitwright import cli
from bitwright.compiler import CompileError, to_qonnx
from bitwright.compiler.dialect import LevelConvAttrs, LevelLinearAttrs, UnpackWeightAttrs, pack_bits


def level_conv(b: Builder, x: str, channels: int, pad_mode: str) -> str:
    attrs = LevelConvAttrs((3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, channels, 2, pad_mode)
    w = b.const(pack_bits(b.rng.random((4, 9, channels)) < 0.5), np.uint8)
    return b.own(attrs, [x, w, b.const([2.0]), b.const([1.0]), b.const(np.full(4, 0.5)), b.const(np.arange(4))], "")


def level_linear(b: Builder, x: str, features: int) -> str:
    w = b.const(pack_bits(b.rng.random((5, features)) < 0.5), np.uint8)
    inputs = [x, w, b.const([1.0]), b.const([0.0]), b.const(np.ones(5)), b.const(np.zeros(5))]
    return b.own(LevelLinearAttrs(features, 4), inputs, "")


def weight_only(b: Builder, x: str) -> str:
    w = b.const(pack_bits(b.rng.random((4, 9, 5)) < 0.5), np.uint8)
    signs = b.own(UnpackWeightAttrs((4, 5, 3, 3)), [w], "")
    return str(b.op("Conv", x, signs))


T = np.arange(5) * 0.25 - 0.5
CASES = {
    "conv": lambda b: b.bconv("x", 5, 4, threshold=T, pads=(1, 2, 0, 1), stride=2, scale=0.5, bias=[1, 2, 3, 4]),
    "conv_one": lambda b: b.bconv("x", 5, 4, pads=(1, 1, 1, 1), pad_value=1.0, scale=1.0, bias=0.0),
    "conv_minus": lambda b: b.bconv("x", 5, 4, pads=(1, 1, 1, 1), pad_value=-1.0),
    "conv_edge": lambda b: b.bconv("x", 5, 4, pads=(1, 1, 1, 1), pad_mode="edge", dilation=2),
    "conv_low": lambda b: b.bconv("x", 5, 4, low=0.0, threshold=0.25, pads=(1, 1, 1, 1)),
    "depthwise": lambda b: b.bconv("x", 5, 10, group=5),
    "transposed": lambda b: b.bconv_transpose("x", 5, 4, (3, 2), stride=2, pads=(1, 0, 0, 1), output_padding=1),
    "linear": lambda b: b.blinear(b.op("Flatten", "x"), 210, 6, threshold=0.125),
    "binarize": lambda b: b.conv(b.binarize("x", T), 5, 3),
    "binarize_last": lambda b: b.binarize("x", np.arange(7) * 0.25, axis=-1, low=0.0),
    "levels": lambda b: level_conv(b, "x", 5, "constant"),
    "levels_edge": lambda b: level_conv(b, "x", 5, "edge"),
    "level_linear": lambda b: level_linear(b, b.op("Flatten", "x"), 210),
    "weight_only": lambda b: weight_only(b, "x"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operators(name: str) -> None:
    b = Builder((5, 6, 7))
    model = b.model(CASES[name](b))
    x = grid((1, 5, 6, 7), 3)
    (wanted,) = onnxruntime(model, x)
    converted = to_qonnx(model)
    assert "ai.bitwright" not in {n.domain for n in converted.graph.node} | {o.domain for o in converted.opset_import}
    assert not converted.functions
    exact = name not in ("binarize", "weight_only")  # float sums run in another order
    (got,) = evaluate(converted, x)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=0 if exact else 1e-5)
    back = imported(converted)
    assert binary_layers(back.model) == binary_layers(model), str(back)
    np.testing.assert_allclose(onnxruntime(back.model, x)[0], wanted, rtol=0, atol=0 if exact else 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_qonnx_package_computes_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = pytest.importorskip("qonnx.core.onnx_exec", reason="the qonnx package is not installed")
    wrapper = pytest.importorskip("qonnx.core.modelwrapper")
    monkeypatch.setattr(onnx, "IR_VERSION", 10)
    b = Builder((5, 6, 7))
    model = b.model(CASES[name](b))
    x = grid((1, 5, 6, 7), 3)
    outputs = execution.execute_onnx(wrapper.ModelWrapper(to_qonnx(model)), {"x": x})
    wanted = onnxruntime(model, x)[0]
    exact = name not in ("binarize", "weight_only")
    np.testing.assert_allclose(next(iter(outputs.values())), wanted, rtol=0, atol=0 if exact else 1e-5)


def test_embedding() -> None:
    b = Builder((6,), dtype=onnx.TensorProto.INT64)
    model = b.model(b.embedding("x", 10, 33, np.arange(10) * 0.25))
    x = np.arange(6).reshape(1, 6)
    np.testing.assert_array_equal(evaluate(to_qonnx(model), x)[0], onnxruntime(model, x)[0])


def test_batch() -> None:
    b = Builder((5, 6, 7))
    model = b.model(b.bconv("x", 5, 4))
    for batch, wanted in ((1, 1), (4, 4), (None, 0)):
        for value in (*to_qonnx(model, batch=batch).graph.input, *to_qonnx(model, batch=batch).graph.output):
            assert value.type.tensor_type.shape.dim[0].dim_value == wanted


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = Builder((5, 6, 7))
    onnx.save(b.model(b.bconv("x", 5, 4)), tmp_path / "net.onnx")
    out = tmp_path / "net.qonnx.onnx"
    assert cli.main(["export", str(tmp_path / "net.onnx"), "--format", "qonnx", "--output", str(out)]) == 0
    assert "BipolarQuant" in {n.op_type for n in onnx.load(out).graph.node}
    assert cli.main(["export", str(tmp_path / "net.onnx"), "--format", "tflite", "--output", str(out)]) == 2
    assert "known are bitwright, qonnx" in capsys.readouterr().err


def test_a_model_without_bits_is_refused() -> None:
    b = Builder((5, 6, 7))
    with pytest.raises(CompileError, match=r"no node of ai\.bitwright"):
        to_qonnx(b.model(b.conv("x", 5, 4)))
