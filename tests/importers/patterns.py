"""Helpers of the importer tests: a plain ONNX model in, the imported model and its answers out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.compiler.graphs import Array, onnxruntime

from bitwright import importers
from bitwright.compiler import build
from bitwright.compiler.bwm import encode

BINARY = {"BinaryConv", "BinaryConvTranspose", "BinaryLinear", "LevelConv", "LevelLinear"}


def imported(model: onnx.ModelProto, *, zero_is_plus: bool = False) -> importers.Imported:
    """What `importers.load` makes of the model's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return importers.load(path, options=importers.ImportOptions(zero_is_plus=zero_is_plus))


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def binary_layers(model: onnx.ModelProto) -> int:
    return sum(op in BINARY for op in operators(model))


def engine(model: onnx.ModelProto, x: Array) -> list[Array]:
    """The outputs of the compiled model."""
    runtime = pytest.importorskip("bitwright.runtime", reason="the native module is not built")
    result = runtime.Session(encode(build(model))).run(x)
    return list(result) if isinstance(result, (list, tuple)) else [result]


def same_answers(model: onnx.ModelProto, x: Array, *, layers: int, exact: bool = True, native: bool = True) -> None:
    """The imported model has so many binary layers, and the file's answers, in onnxruntime and in the engine."""
    found = imported(model)
    assert binary_layers(found.model) == layers, str(found)
    wanted = onnxruntime(model, x)
    runs = [onnxruntime(found.model, x), *([engine(found.model, x)] if native else [])]
    for got in runs:
        for a, b in zip(got, wanted, strict=True):
            if exact:
                np.testing.assert_array_equal(a, b)
            else:
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * (float(np.ptp(b)) or 1))


def grid(shape: tuple[int, ...], seed: int, step: float = 0.125) -> Array:
    """Random multiples of `step`, with many zeros of either sign: every comparison is met exactly."""
    rng = np.random.default_rng(seed)
    x = (rng.integers(-12, 13, shape) * step).astype(np.float32)
    return np.where((x == 0) & (rng.random(shape) < 0.5), np.float32(-0.0), x)
