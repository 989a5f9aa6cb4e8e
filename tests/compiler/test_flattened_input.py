"""Grey images that are flattened first: their columns take the place of the channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from bitwright import compiler
from bitwright.compiler import dialect
from bitwright.runtime import Session


def network(channels: int, per_pixel: bool = False) -> onnx.ModelProto:
    """[N, channels, 9, 28], a Sub, flattened, a binary dense layer of 40 outputs."""
    rng = np.random.default_rng(channels)
    features = channels * 9 * 28
    offset = rng.random((1, 1, 9, 28) if per_pixel else ()).astype(np.float32)
    constants = {
        "offset": offset,
        "weight": dialect.pack_bits(rng.random((40, features)) < 0.5),
        "threshold": np.full(1, 0.25, np.float32),
        "scale": rng.random(40).astype(np.float32) + 0.5,
        "bias": rng.standard_normal(40).astype(np.float32),
    }
    dense = dialect.BinaryLinearAttrs(features, -1.0)
    nodes = [
        helper.make_node("Sub", ["x", "offset"], ["moved"]),
        helper.make_node("Flatten", ["moved"], ["flat"]),
        dense.make_node(["flat", "weight", "threshold", "scale", "bias"], ["y"], name="dense"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", 1, ["N", channels, 9, 28])],
        [helper.make_tensor_value_info("y", 1, ["N", 40])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(dialect.DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    dialect.add_functions(model)
    return model


@pytest.mark.parametrize(("channels", "per_pixel"), [(1, False), (2, False), (1, True)])
def test_the_answers_are_those_of_onnxruntime(channels: int, per_pixel: bool, tmp_path: Path) -> None:
    model = network(channels, per_pixel)
    compiler.compile(model, tmp_path / "net.bwm")
    x = np.random.default_rng(1).standard_normal((3, channels, 9, 28)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(Session(tmp_path / "net.bwm").run(x), session.run(None, {"x": x})[0])


def test_a_pixel_has_no_word_of_its_own(tmp_path: Path) -> None:
    compiler.compile(network(1), tmp_path / "net.bwm")
    (dense,) = (op for op in Session(tmp_path / "net.bwm").ops() if op["kind"] == "BCONV")
    assert dense["weight_bytes"] == 40 * 9 * 4, "28 columns fill a word"
