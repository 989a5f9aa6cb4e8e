"""Shapes of dialect nodes, against what onnxruntime computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from bitwright.compiler import dialect


def model_of(
    attrs: dialect.NodeAttrs, shape: list[int], others: list[np.ndarray], behind: str = "Relu"
) -> onnx.ModelProto:
    names = [f"c{i}" for i in range(len(others))]
    nodes = [
        attrs.make_node(["x", *names], ["y"], name="layer"),
        helper.make_node("Relu", ["y"], ["z"], name="behind"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["N", *shape])],
        [helper.make_tensor_value_info("z", 1, None)],
        [numpy_helper.from_array(value, name) for name, value in zip(names, others, strict=True)],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(dialect.DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    dialect.add_functions(model)
    return model


def shape_of(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@settings(max_examples=40)
@given(
    rank=st.integers(1, 3),
    data=st.data(),
    channels=st.integers(1, 5),
    group=st.integers(1, 2),
    outputs=st.integers(1, 3),
)
def test_convolutions_have_the_shape_that_onnxruntime_gives(
    rank: int, data: st.DataObject, channels: int, group: int, outputs: int
) -> None:
    def sizes(low: int, high: int, count: int = rank) -> tuple[int, ...]:
        return tuple(data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))

    kernel, strides, dilations, pads, size = sizes(1, 3), sizes(1, 2), sizes(1, 2), sizes(0, 2, 2 * rank), sizes(5, 8)
    attrs = dialect.BinaryConvAttrs(kernel, strides, dilations, pads, group, channels, -1.0, "constant", 0.0)
    o = outputs * group
    weight = dialect.pack_bits(np.ones((o, attrs.taps, channels), bool))
    vectors = [np.zeros(1, np.float32), np.ones(o, np.float32), np.zeros(o, np.float32)]
    model = model_of(attrs, [channels * group, *size], [weight, *vectors])
    dialect.infer_shapes(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.ones((2, channels * group, *size), np.float32)})
    assert shape_of(model.graph.output[0]) == ["N", *result.shape[1:]]
    assert [v.name for v in model.graph.value_info] == ["y"]


def test_an_input_that_does_not_fit_names_the_node() -> None:
    weight = dialect.pack_bits(np.ones((4, 6), bool))
    vectors = [np.zeros(1, np.float32), np.ones(4, np.float32), np.zeros(4, np.float32)]
    model = model_of(dialect.BinaryLinearAttrs(6, -1.0), [7], [weight, *vectors])
    with pytest.raises(dialect.DialectError, match="'layer': BinaryLinear takes 6 features, its input has 7"):
        dialect.infer_shapes(model)


def test_a_standard_node_that_does_not_fit_is_an_error() -> None:
    model = model_of(dialect.BinarizeAttrs(-1.0, 1), [3, 4], [np.zeros(1, np.float32)])
    model.graph.node[1].op_type = "MatMul"
    model.graph.node[1].input.append("c9")
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((5, 2), np.float32), "c9"))
    with pytest.raises(onnx.shape_inference.InferenceError, match=r"[Ii]ncompatible"):
        dialect.infer_shapes(model)
