"""Larq's files: what its interpreter computed, onnxruntime on the import and the engine compute too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from bitwright import compiler, importers
from bitwright.compiler import bwm_read
from bitwright.importers.larq import convert
from bitwright.importers.larq.reader import read
from bitwright.importers.larq.registry import CONVERTERS
from bitwright.runtime import Session

assert convert  # registers the converters

FIXTURES = Path(__file__).parent / "fixtures" / "larq"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.tflite"))
QUANTIZED = [name for name in NAMES if name.startswith("quantized")]
FLOAT = [name for name in NAMES if name not in QUANTIZED]
EXACT = [n for n in FLOAT if not {"zero", "chain", "quicknet", "standard", "plain"}.intersection(n.split("_"))]
NATIVE = [name for name in FLOAT if name not in ("standard_float", "standard_more", "small_quicknet")]


def load(name: str) -> importers.Imported:
    return importers.load(FIXTURES / f"{name}.tflite")


def expected(name: str, dtype: type = np.float32) -> tuple[np.ndarray, list[np.ndarray]]:
    """Input and outputs of Larq's interpreter."""
    data = np.load(FIXTURES / f"{name}.npz")
    x = data["x"] if dtype == np.int8 else data["x"].astype(np.float32) / 16
    return x, [data[f"y{i}"] for i in range(len(data.files) - 1)]


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return list(session.run(None, {model.graph.input[0].name: x}))


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert np.abs(ours - theirs).max() <= 1e-5 * max(1.0, np.ptp(theirs))


@pytest.mark.parametrize("name", FLOAT)
def test_onnxruntime_computes_what_larq_computed(name: str) -> None:
    x, wanted = expected(name)
    assert_same(run(load(name).model, x), wanted)


@pytest.mark.parametrize("name", NATIVE)
def test_the_engine_computes_what_larq_computed(name: str, tmp_path: Path) -> None:
    x, wanted = expected(name)
    compiler.compile(load(name).model, tmp_path / "net.bwm")
    found = Session(tmp_path / "net.bwm").run(x)
    assert_same(list(found) if isinstance(found, list | tuple) else [found], wanted)


@pytest.mark.parametrize("name", EXACT)
def test_floats_are_larqs_to_the_last_bit(name: str) -> None:
    """But for pixels beside zero padding, and float layers."""
    x, wanted = expected(name)
    for ours, theirs in zip(run(load(name).model, x), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_fixtures_have_zeros_and_both_signs(name: str) -> None:
    x, _ = expected(name, np.int8)
    assert {-1, 0, 1} <= set(np.sign(x).ravel().tolist())


def test_an_input_with_channels_last_is_not_moved(tmp_path: Path) -> None:
    """The engine keeps maps as the file does, so neither the Transpose nor anything else becomes an op."""
    compiler.compile(load("same_one").model, tmp_path / "net.bwm")
    program = bwm_read.read(tmp_path / "net.bwm")
    assert [type(op).__name__ for op in program.ops] == ["Map", "BConv"]
    assert program.inputs[0].external_axes == (2, 3, 4)
    assert program.outputs[0].external_axes == (2, 3, 4)


def test_every_converter_has_a_fixture() -> None:
    seen = {op.op for name in NAMES for op in read((FIXTURES / f"{name}.tflite").read_bytes(), name).operators}
    assert CONVERTERS.keys() - seen == {"RELU_0_TO_1", "SQUEEZE", "EXPAND_DIMS"}  # TensorFlow writes other operators


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_is_free(name: str) -> None:
    imported = load(name)
    assert not any("batch" in text for text in imported.warnings)
    assert imported.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_findings_tell_each_binary_layer() -> None:
    assert [str(f.was) for f in load("packed_chain").findings] == [
        "LceBconv2d, same-one, packed output",
        "LceBconv2d, same-one, relu, packed output",
        "LceBconv2d, valid, packed output",
        "LceBconv2d, valid, packed output",
        "LceBconv2d, same-zero",
    ]
    assert [f.became for f in load("groups_one").findings] == ["BinaryConv 3x3, 96 -> 12, 3 groups"]
    assert "LceBMaxPool2d 2x2, stride 2, padding same" in str(load("max_pools"))


@pytest.mark.parametrize("name", QUANTIZED)
def test_levels_are_larqs(name: str) -> None:
    """TensorFlow Lite's fixed-point products and their two roundings, exactly."""
    x, wanted = expected(name, np.float32 if "float" in name else np.int8)
    imported = load(name)
    assert imported.warnings == []
    for ours, theirs in zip(run(imported.model, x), wanted, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
