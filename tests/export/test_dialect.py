from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitwright.compiler import dialect
from bitwright.compiler.dialect import (
    BinarizeAttrs,
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryEmbeddingAttrs,
    BinaryLinearAttrs,
    DialectError,
    UnpackWeightAttrs,
)

from .oracles import conv_loops, conv_transpose_loops, node_model, run_node, tricky

CONV = BinaryConvAttrs((3, 2), (2, 1), (1, 2), (1, 2, 0, 1), 2, 35, -1.0, "constant", 1.0)
EVERY = [
    CONV,
    BinaryConvTransposeAttrs((3,), (2,), (1,), (1, 0), (1,), 1, 7, 0.0),
    BinaryLinearAttrs(12, 0.0),
    BinaryEmbeddingAttrs(40),
    BinarizeAttrs(0.0, -2),
    UnpackWeightAttrs((4, 33, 3)),
]


def test_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import bitwright.compiler.dialect, sys; print([m for m in ('torch', 'onnx', 'onnx_ir') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=1, max_dims=3, max_side=70)))
def test_packing_follows_the_contract(bits: np.ndarray) -> None:
    packed = dialect.pack_bits(bits)
    channels = bits.shape[-1]
    assert packed.shape == (*bits.shape[:-1], 4 * -(-channels // 32))
    words = packed.view("<u4")
    for c in range(words.shape[-1] * 32):
        stored = words[..., c // 32] >> (c % 32) & 1
        np.testing.assert_array_equal(stored, bits[..., c] if c < channels else 0)
    np.testing.assert_array_equal(dialect.unpack_bits(packed, channels), bits)


def test_packing_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="boolean"):
        dialect.pack_bits(np.ones(3, np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="40 channels are packed in 8 bytes"):
        dialect.unpack_bits(np.zeros((2, 4), np.uint8), 40)
    with pytest.raises(TypeError, match="uint8"):
        dialect.unpack_bits(np.zeros((2, 4), np.int8), 32)  # type: ignore[arg-type]


@pytest.mark.parametrize("attrs", EVERY, ids=lambda a: a.op)
def test_attributes_survive_a_node_and_both_readers(attrs: dialect.NodeAttrs) -> None:
    node = attrs.make_node(attrs.inputs, ["Y"], name="n", module="a.b")
    assert {p.key: p.value for p in node.metadata_props} == {"bitwright.module": "a.b"}
    for reader in (node, ir.serde.deserialize_node(node)):
        assert type(attrs).from_node(reader) == attrs
        assert dialect.read_node(reader) == attrs
    schema = dialect.schema(attrs.op)
    assert [i.name for i in schema.inputs] == list(attrs.inputs)
    assert all(schema.attributes[f.name].required for f in dataclasses.fields(attrs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel_shape": (3, 3, 3, 3)}, "1, 2 or 3 dimensions"),
        ({"kernel_shape": (3, 0)}, "kernel_shape must be 2 integers >= 1"),
        ({"strides": (1,)}, "strides must be 2 integers"),
        ({"pads": (0, 0)}, "pads must be 4 integers"),
        ({"pads": (0, 0, -1, 0)}, "pads must be 4 integers >= 0"),
        ({"group": 0}, "group must be >= 1"),
        ({"channels": 0}, "channels must be >= 1"),
        ({"low": 0.5}, "low must be -1 .* or 0"),
        ({"pad_mode": "reflect"}, "'reflect'"),
        ({"pad_value": 2.0}, "pad_value must be one of"),
        ({"low": 0.0, "pad_value": -1.0}, "when low is 0.0, got -1.0"),
    ],
)
def test_wrong_attributes_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(DialectError, match=message):
        dataclasses.replace(CONV, **change)  # type: ignore[arg-type]


def test_wrong_binarize_attributes_are_named() -> None:
    with pytest.raises(DialectError, match="axis 0 is the batch"):
        BinarizeAttrs(-1.0, 0)
    with pytest.raises(DialectError, match="low must be -1"):
        BinarizeAttrs(1.0, 1)


def test_wrong_nodes_are_named() -> None:
    node = CONV.make_node(CONV.inputs, ["Y"], name="conv7")
    del node.attribute[0]
    with pytest.raises(DialectError, match=r"BinaryConv node 'conv7' lacks \['kernel_shape'\]"):
        BinaryConvAttrs.from_node(node)
    node.attribute.append(onnx.helper.make_attribute("kernel_shape", [1.5, 2.0]))
    with pytest.raises(DialectError, match="attribute kernel_shape must be ints"):
        BinaryConvAttrs.from_node(node)
    node = CONV.make_node(CONV.inputs, ["Y"])
    node.attribute.append(onnx.helper.make_attribute("colour", 1))
    with pytest.raises(DialectError, match=r"has unknown \['colour'\]"):
        BinaryConvAttrs.from_node(node)
    with pytest.raises(DialectError, match=r"is not ai.bitwright::BinaryLinear"):
        BinaryLinearAttrs.from_node(node)
    with pytest.raises(DialectError, match="is no operator of the dialect"):
        dialect.read_node(onnx.helper.make_node("Conv", ["x"], ["y"]))
    with pytest.raises(DialectError, match="takes the inputs"):
        CONV.make_node(["X"], ["Y"])
    with pytest.raises(DialectError, match="does not fit into the input"):
        CONV.output_size((1, 1))
    with pytest.raises(DialectError, match=r"output_padding .* must be smaller"):
        BinaryConvTransposeAttrs((3,), (2,), (1,), (0, 0), (2,), 1, 7, -1.0)
    with pytest.raises(DialectError, match="is empty"):
        BinaryConvTransposeAttrs((1,), (1,), (1,), (2, 2), (0,), 1, 7, -1.0).output_size((3,))


def test_functions_are_attached_only_for_used_operators() -> None:
    model = node_model(BinaryLinearAttrs(12, 0.0), {"X": np.zeros((1, 12), np.float32)})
    assert [(f.domain, f.name) for f in model.functions] == [("ai.bitwright", "BinaryLinear")]
    assert {o.domain: o.version for o in model.opset_import} == {"": 18, "ai.bitwright": 1}
    dialect.add_functions(model)  # twice changes nothing
    assert len(model.functions) == 1
    same = ir.serde.deserialize_model(model)
    same.functions.clear()
    dialect.add_functions(same)
    assert list(same.functions) == [("ai.bitwright", "BinaryLinear", "")]


def test_functions_refuse_what_they_do_not_know() -> None:
    with pytest.raises(DialectError, match="opset 18 to 23, got 17"):
        dialect.function("BinaryConv", 17)
    with pytest.raises(DialectError, match="no operator 'BinaryPool'"):
        dialect.function("BinaryPool")
    with pytest.raises(DialectError, match="no operator 'BinaryPool'"):
        dialect.schema("BinaryPool")
    model = node_model(BinaryLinearAttrs(12, 0.0), {"X": np.zeros((1, 12), np.float32)})
    model.graph.node[0].op_type = "BinaryPool"
    with pytest.raises(DialectError, match="BinaryPool"):
        dialect.add_functions(model)


def operands(
    attrs: BinaryConvAttrs | BinaryConvTransposeAttrs, outputs: int, size: tuple[int, ...], seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    channels = attrs.group * attrs.channels
    bits = rng.random((outputs, attrs.channels, *attrs.kernel_shape)) > 0.5
    threshold = rng.standard_normal(channels if seed % 2 else 1).astype(np.float32)
    inputs = {
        "X": tricky((2, channels, *size), threshold, seed),
        "W": dialect.pack_bits(np.moveaxis(bits.reshape(outputs, attrs.channels, -1), 1, 2)),
        "threshold": threshold,
        "scale": rng.standard_normal(outputs).astype(np.float32),
        "bias": rng.standard_normal(outputs).astype(np.float32),
    }
    return inputs, np.where(bits, 1, -1)


def affine(sums: np.ndarray, inputs: dict[str, np.ndarray]) -> np.ndarray:
    column = (-1, *[1] * (sums.ndim - 2))
    return sums.astype(np.float32) * inputs["scale"].reshape(column) + inputs["bias"].reshape(column)


# Asymmetric padding, which no layer of bitwright.nn makes except "same".
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rank=st.integers(1, 3),
    opset=st.sampled_from([18, 19, 20, 21, 22, 23]),
    pads=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    low=st.sampled_from([-1.0, 0.0]),
    mode=st.sampled_from(["edge", "constant"]),
    value=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 99),
)
def test_conv_body(rank: int, opset: int, pads: list[int], low: float, mode: str, value: float, seed: int) -> None:
    kernel, strides, dilations, size = (2, 3, 1), (1, 2, 3), (2, 1, 1), (5, 4, 3)
    attrs = BinaryConvAttrs(
        kernel[:rank], strides[:rank], dilations[:rank], tuple(pads[: 2 * rank]), 2, 3, low, mode, value
    )
    inputs, weight = operands(attrs, 4, size[:rank], seed)
    wanted = affine(conv_loops(inputs["X"], weight, inputs["threshold"], attrs), inputs)
    np.testing.assert_array_equal(run_node(attrs, inputs, opset), wanted, strict=True)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    rank=st.integers(1, 3),
    opset=st.sampled_from([18, 21, 23]),
    pads=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    extra=st.lists(st.integers(0, 1), min_size=3, max_size=3),
    low=st.sampled_from([-1.0, 0.0]),
    seed=st.integers(0, 99),
)
def test_conv_transpose_body(rank: int, opset: int, pads: list[int], extra: list[int], low: float, seed: int) -> None:
    kernel, strides, dilations, size = (3, 2, 3), (2, 3, 1), (1, 1, 2), (4, 3, 3)
    attrs = BinaryConvTransposeAttrs(
        kernel[:rank],
        strides[:rank],
        dilations[:rank],
        tuple(pads[: 2 * rank]),
        tuple(extra[:rank]),
        2,
        3,
        low,
    )
    inputs, weight = operands(attrs, 4, size[:rank], seed)
    wanted = affine(conv_transpose_loops(inputs["X"], weight, inputs["threshold"], attrs), inputs)
    np.testing.assert_array_equal(run_node(attrs, inputs, opset), wanted, strict=True)


@pytest.mark.parametrize("scales", [1, 9])
def test_embedding_body(scales: int) -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((9, 37)) > 0.5
    scale = rng.standard_normal(scales).astype(np.float32)
    ids = rng.integers(0, 9, (2, 4))
    y = run_node(BinaryEmbeddingAttrs(37), {"ids": ids, "W": dialect.pack_bits(bits), "scale": scale})
    wanted = np.where(bits, 1, -1).astype(np.float32) * np.broadcast_to(scale, 9)[:, None]
    np.testing.assert_array_equal(y, wanted[ids], strict=True)


@pytest.mark.parametrize("opset", [18, 23])
@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((2, 5), 1), ((2, 5, 3), 1), ((2, 5, 3), -1), ((2, 5, 3, 4), 1), ((2, 5, 3, 4), -2), ((2, 5), -1)],
)
def test_binarize_body(shape: tuple[int, ...], axis: int, low: float, opset: int) -> None:
    channels = shape[axis]
    for thresholds in (channels, 1):
        threshold = np.random.default_rng(0).standard_normal(thresholds).astype(np.float32)
        moved = (shape[0], channels, *(n for i, n in enumerate(shape) if i not in (0, axis % len(shape))))
        x = np.moveaxis(tricky(moved, threshold, 3), 1, axis)
        y = run_node(BinarizeAttrs(low, axis), {"X": x, "threshold": threshold}, opset)
        column = threshold.reshape(-1, *[1] * (x.ndim - 1 - axis % x.ndim))
        wanted = np.where(x >= column, np.float32(1), np.float32(low))
        np.testing.assert_array_equal(y, wanted, strict=True)


@pytest.mark.parametrize("shape", [(5, 37), (5, 33, 3), (2, 31, 3, 2), (2, 1, 3, 2, 2)])
def test_unpack_weight_body(shape: tuple[int, ...]) -> None:
    bits = np.random.default_rng(0).random(shape) > 0.5
    rows = bits if len(shape) == 2 else np.moveaxis(bits.reshape(*shape[:2], -1), 1, 2)
    y = run_node(UnpackWeightAttrs(shape), {"W": dialect.pack_bits(rows)})
    np.testing.assert_array_equal(y, np.where(bits, 1, -1).astype(np.float32), strict=True)


def test_bodies_pass_the_checker() -> None:
    for attrs in EVERY:
        for opset in (dialect.MIN_OPSET, dialect.MAX_OPSET):
            onnx.checker.check_function(dialect.function(attrs.op, opset), _context(opset))


def _context(opset: int) -> onnx.checker.C.CheckerContext:
    context = onnx.checker.C.CheckerContext()
    context.ir_version = 10
    context.opset_imports = {"": opset}
    return context
