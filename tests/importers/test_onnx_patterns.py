"""Plain ONNX in which ±1 is only a pattern: found by value, with the answers of the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tests.compiler.graphs import Array, Builder, onnxruntime
from tests.importers.patterns import binary_layers, engine, grid, imported, operators, same_answers

from bitwright.importers import ImportModelError

Binarizer = Callable[[Builder, str, Array], str]
"""Builder, input, thresholds that broadcast with it -> a tensor of two values."""
FLOAT, BOOL, INT = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64


def where(compare: str, upper: float, lower: float, turned: bool = False) -> Binarizer:
    def build(b: Builder, x: str, t: Array) -> str:
        operands = (b.const(t), x) if turned else (x, b.const(t))
        return str(b.op("Where", b.op(compare, *operands), b.const(upper), b.const(lower)))

    return build


def cast_times_two(b: Builder, x: str, t: Array) -> str:
    bit = b.op("Cast", b.op("GreaterOrEqual", x, b.const(t)), to=FLOAT)
    return str(b.op("Sub", b.op("Mul", bit, b.const(2)), b.const(1)))


def cast_integers(b: Builder, x: str, t: Array) -> str:
    bit = b.op("Cast", b.op("Not", b.op("Less", x, b.const(t))), to=INT)
    doubled = b.op("Mul", bit, b.const(2, np.int64))
    return str(b.op("Cast", b.op("Sub", doubled, b.const(1, np.int64)), to=FLOAT))


def hardtanh_round(b: Builder, x: str, t: Array) -> str:
    half = b.op("Mul", b.op("Add", b.op("Sub", x, b.const(t)), b.const(1)), b.const(0.5))
    bit = b.op("Round", b.op("Clip", half, b.const(0), b.const(1)))
    return str(b.op("Sub", b.op("Mul", bit, b.const(2)), b.const(1)))


def round_then_clip(b: Builder, x: str, t: Array) -> str:
    bit = b.op("Clip", b.op("Round", b.op("Add", x, b.const(0.5 - t))), b.const(0), b.const(1))
    return str(b.op("Add", b.op("Mul", bit, b.const(2)), b.const(-1)))


def sign_of_sign(b: Builder, x: str, t: Array) -> str:
    three = b.op("Sign", b.op("Clip", b.op("Sub", x, b.const(t)), b.const(-1), b.const(1)))
    return str(b.op("Sign", b.op("Add", three, b.const(0.1))))


def sign_or_one(b: Builder, x: str, t: Array) -> str:
    """torch.where(x == 0, 1, sign(x))"""
    moved = b.op("Sub", x, b.const(t))
    return str(b.op("Where", b.op("Equal", moved, b.const(0)), b.const(1), b.op("Sign", moved)))


def difference_of_bits(b: Builder, x: str, t: Array) -> str:
    """(x >= t) - (x < t)"""
    upper = b.op("Cast", b.op("GreaterOrEqual", x, b.const(t)), to=FLOAT)
    lower = b.op("Cast", b.op("Less", x, b.const(t)), to=FLOAT)
    return str(b.op("Sub", upper, lower))


def floor_bit(b: Builder, x: str, t: Array) -> str:
    bit = b.op("Floor", b.op("HardSigmoid", b.op("Sub", x, b.const(t)), alpha=0.5, beta=1.0))
    return str(b.op("Sub", b.op("Mul", bit, b.const(2)), b.const(1)))


def falling(b: Builder, x: str, t: Array) -> str:
    return where("LessOrEqual", 1, -1)(b, x, t)


def mixed_slopes(b: Builder, x: str, t: Array) -> str:
    """Every other channel falls."""
    slopes = np.where(np.arange(t.size).reshape(t.shape) % 2 == 0, 2.0, -0.5)
    return where("Greater", 1, -1)(b, str(b.op("Mul", x, b.const(slopes))), t)


BINARIZERS: dict[str, Binarizer] = {
    "where_ge": where("GreaterOrEqual", 1, -1),
    "where_gt": where("Greater", 1, -1),
    "where_lt": where("Less", -1, 1),
    "where_le_turned": where("LessOrEqual", 1, -1, turned=True),
    "where_scaled": where("GreaterOrEqual", 0.25, -0.25),
    "zero_one": where("GreaterOrEqual", 1, 0),
    "zero_half": where("Greater", 0.5, 0),
    "cast_times_two": cast_times_two,
    "cast_integers": cast_integers,
    "hardtanh_round": hardtanh_round,
    "round_then_clip": round_then_clip,
    "sign_of_sign": sign_of_sign,
    "sign_or_one": sign_or_one,
    "difference_of_bits": difference_of_bits,
    "floor_bit": floor_bit,
    "falling": falling,
    "mixed_slopes": mixed_slopes,
}


def signs(b: Builder, *shape: int, scale: Any = 1.0) -> Array:
    w = np.where(b.rng.random(shape) < 0.5, np.float32(1), np.float32(-1))
    w.reshape(-1)[:2] = (1, -1)
    return (w * np.asarray(scale, np.float32).reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32)


def conv_net(
    binarizer: Binarizer, *, seed: int = 0, per_channel: bool = False, scale: Any = 1.0, **attrs: Any
) -> Builder:
    b = Builder((5, 7, 6), seed=seed)
    t = b.rng.integers(-4, 5, (5, 1, 1) if per_channel else ()) * 0.125
    bits = binarizer(b, "x", t)
    b.op("Conv", bits, b.const(signs(b, 4, 5, 3, 3, scale=scale)), b.const(b.rng.integers(-3, 4, 4)), **attrs)
    return b


def last(b: Builder) -> str:
    return str(b.nodes[-1].output[0])


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", BINARIZERS)
def test_binarizers(name: str, per_channel: bool) -> None:
    b = conv_net(BINARIZERS[name], per_channel=per_channel, pads=[1, 0, 1, 2], strides=[2, 1])
    same_answers(b.model(last(b)), grid((3, 5, 7, 6), 1), layers=1)


@settings(max_examples=60)
@given(st.data())
def test_random_networks(data: st.DataObject) -> None:
    """Two layers, any binarizers, thresholds, geometries, scales."""
    seed = data.draw(st.integers(0, 2**16))
    rank = data.draw(st.sampled_from([1, 2, 2, 3]))
    size = tuple(data.draw(st.integers(4, 7)) for _ in range(rank))
    group = data.draw(st.sampled_from([1, 1, 2]))
    channels, outputs = 3 * group, 2 * group
    b = Builder((channels, *size), seed=seed)
    first = BINARIZERS[data.draw(st.sampled_from(sorted(BINARIZERS)))]
    shape = data.draw(st.sampled_from([(), (channels, *[1] * rank), (1, channels, *[1] * rank)]))
    x = first(b, "x", b.rng.integers(-4, 5, shape) * 0.125)
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    scale = data.draw(st.sampled_from([1.0, 0.5, 4.0])) * 2.0 ** b.rng.integers(-2, 3, outputs)
    pads = [data.draw(st.integers(0, 2)) for _ in range(2 * rank)]
    weight = b.const(signs(b, outputs, channels // group, *kernel, scale=scale))
    attrs: dict[str, Any] = {"strides": [data.draw(st.integers(1, 2)) for _ in range(rank)], "group": group}
    if data.draw(st.booleans()):
        value = data.draw(st.sampled_from([0.0, 1.0]))
        zeros = [0, 0]
        widths = b.ints(*zeros, *pads[:rank], *zeros, *pads[rank:])
        x = str(b.op("Pad", x, widths, b.const(value)))
        scaled = any(
            v in (0.25, 0.5) for v in np.unique(np.abs(onnxruntime(b.model(x), grid((2, channels, *size), seed))[0]))
        )
        exactly = value == 0 or not scaled
    else:
        attrs["pads"] = pads
        exactly = True
    x = str(b.op("Conv", x, weight, **attrs))
    model = b.model(x)
    found = imported(model)
    if exactly:
        assert binary_layers(found.model) == 1, str(found)
    inputs = grid((2, channels, *size), seed)
    wanted = onnxruntime(model, inputs)[0]
    np.testing.assert_array_equal(onnxruntime(found.model, inputs)[0], wanted)
    if exactly:
        np.testing.assert_array_equal(engine(found.model, inputs)[0], wanted)


@pytest.mark.parametrize("op", ["Gemm", "GemmT", "MatMul", "MatMul3", "GemmAlpha", "GemmLateBias"])
def test_dense_layers(op: str) -> None:
    tokens = op == "MatMul3"
    b = Builder((3, 11) if tokens else (11,))
    bits = where("Greater", 1, -1)(b, "x", b.rng.integers(-4, 5, 11) * 0.125)
    w = signs(b, 7, 11, scale=2.0 ** b.rng.integers(-2, 3, 7))
    bias = b.const(b.rng.integers(-3, 4, 7))
    if op == "Gemm":
        b.op("Gemm", bits, b.const(w.T.copy()), bias)
    elif op == "GemmT":
        b.op("Gemm", bits, b.const(w), bias, transB=1, beta=2.0)
    elif op == "GemmAlpha":
        b.op("Gemm", bits, b.const(w), bias, transB=1, alpha=0.5)
    elif op == "GemmLateBias":
        late = b.op("Mul", b.op("Slice", "x", b.ints(0), b.ints(7), b.ints(1)), b.const(2))
        b.op("Gemm", bits, b.const(w), late, transB=1)
    else:
        b.op("MatMul", bits, b.const(w.T.copy()))
    same_answers(b.model(last(b)), grid((4, 3, 11) if tokens else (4, 11), 2), layers=1)


@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolution(group: int) -> None:
    b = Builder((6, 5, 4))
    bits = where("GreaterOrEqual", 1, -1)(b, "x", np.float32(0.25))
    outputs = 2 * group
    scale = 2.0 ** np.arange(outputs)
    w = signs(b, 6, 2, 3, 2).reshape(group, 6 // group, 2, 3, 2) * scale.reshape(group, 1, 2, 1, 1)
    weight = b.const(w.reshape(6, 2, 3, 2))
    b.op("ConvTranspose", bits, weight, b.const(np.arange(outputs)), strides=[2, 1], pads=[1, 0, 0, 1],
         output_padding=[1, 0], group=group)  # fmt: skip
    same_answers(b.model(last(b)), grid((3, 6, 5, 4), 3), layers=1)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_pad_nodes(value: float) -> None:
    b = Builder((5, 6, 6))
    bits = where("GreaterOrEqual", 1, -1)(b, "x", np.float32(0))
    padded = b.op("Pad", bits, b.ints(1, 2, 0, 1), b.const(value), b.ints(2, 3))
    b.op("Conv", padded, b.const(signs(b, 4, 5, 3, 3)))
    model = b.model(last(b))
    same_answers(model, grid((2, 5, 6, 6), 4), layers=1)
    (node,) = [n for n in imported(model).model.graph.node if n.op_type == "BinaryConv"]
    assert {a.name: a for a in node.attribute}["pad_value"].f == value


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_pads_that_repeat(mode: str) -> None:
    b = Builder((5, 6, 6))
    bits = where("GreaterOrEqual", 1, -1)(b, "x", np.float32(0))
    padded = b.op("Pad", bits, b.ints(0, 0, 1, 1, 0, 0, 1, 1), mode=mode)
    b.op("Conv", padded, b.const(signs(b, 4, 5, 3, 3)))
    same_answers(b.model(last(b)), grid((2, 5, 6, 6), 4), layers=1, native=mode == "edge")


def test_pad_with_one_and_own_zeros_do_not_merge() -> None:
    b = Builder((5, 6, 6))
    bits = where("GreaterOrEqual", 1, -1)(b, "x", np.float32(0))
    padded = b.op("Pad", bits, b.ints(0, 0, 1, 1, 0, 0, 1, 1), b.const(1))
    b.op("Conv", padded, b.const(signs(b, 4, 5, 3, 3)), pads=[1, 1, 1, 1])
    model = b.model(last(b))
    found = imported(model)
    assert binary_layers(found.model) == 0
    x = grid((2, 5, 6, 6), 4)
    np.testing.assert_array_equal(onnxruntime(found.model, x)[0], onnxruntime(model, x)[0])


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(mode: str) -> None:
    b = conv_net(where("GreaterOrEqual", 1, -1), auto_pad=mode, strides=[2, 2])
    same_answers(b.model(last(b)), grid((3, 5, 7, 6), 1), layers=1)


def test_operators_that_only_select() -> None:
    """Bits through MaxPool, Flatten and Transpose to a dense layer."""
    b = Builder((6, 8, 8))
    bits = where("GreaterOrEqual", 1, -1)(b, "x", b.rng.integers(-4, 5, (6, 1, 1)) * 0.125)
    pooled = b.op("MaxPool", bits, kernel_shape=[2, 2], strides=[2, 2])
    b.op("Gemm", b.op("Flatten", pooled), b.const(signs(b, 5, 96)), transB=1)
    same_answers(b.model(last(b)), grid((3, 6, 8, 8), 6), layers=1)


@pytest.mark.parametrize("op", ["Sign", "Where", "Mul", "Clip"])
def test_weights_that_the_file_computes(op: str) -> None:
    b = Builder((5, 7, 6))
    bits = where("GreaterOrEqual", 1, -1)(b, "x", np.float32(0))
    latent = b.const(b.normal(4, 5, 3, 3))
    scale = b.const(np.array([0.5, 1, 2, 0.25]).reshape(4, 1, 1, 1))
    w = {
        "Sign": lambda: b.op("Sign", latent),
        "Where": lambda: b.op("Where", b.op("Less", latent, b.const(0)), b.const(-0.5), b.const(0.5)),
        "Mul": lambda: b.op("Mul", b.op("Sign", latent), scale),
        "Clip": lambda: b.op("Clip", b.op("Mul", latent, b.const(1e30)), b.const(-2), b.const(2)),
    }[op]()
    b.op("Conv", bits, w)
    model = b.model(last(b))
    same_answers(model, grid((2, 5, 7, 6), 1), layers=1)
    assert not {"Sign", "Conv"} & set(operators(imported(model).model))


def test_scale_is_recovered_exactly() -> None:
    """An odd scale: the float sum of the file rounds, ours is one product."""
    scale = np.float32([0.1, 1 / 3, 7e-4, 13.7])
    b = conv_net(where("GreaterOrEqual", 1, -1), scale=scale)
    model = b.model(last(b))
    same_answers(model, grid((3, 5, 7, 6), 1), layers=1, exact=False)
    (layer,) = [n for n in imported(model).model.graph.node if n.op_type == "BinaryConv"]
    found = {t.name: onnx.numpy_helper.to_array(t) for t in imported(model).model.graph.initializer}
    np.testing.assert_array_equal(found[layer.input[3]], scale)


# --- levels


@pytest.mark.parametrize("order", ["round_clip", "clip_round", "floor"])
@pytest.mark.parametrize(("low", "high"), [(0, 3), (0, 15), (-8, 7), (-7, 7), (-1, 1), (2, 5), (0, 6)])
def test_levels(low: int, high: int, order: str) -> None:
    b = Builder((5, 7, 6))
    scaled = b.op("Mul", "x", b.const(2))
    bounds = (b.const(low), b.const(high))
    if order == "round_clip":
        q = b.op("Clip", b.op("Round", scaled), *bounds)
    else:
        q = b.op("Round" if order == "clip_round" else "Floor", b.op("Clip", scaled, *bounds))
    x = b.op("Mul", b.op("Sub", q, b.const(1)), b.const(0.25))
    b.op("Conv", x, b.const(signs(b, 4, 5, 3, 3, scale=[0.5, 1, 2, 1])), b.const(np.arange(4)))
    model = b.model(last(b))
    same_answers(model, 8 * grid((3, 5, 7, 6), 1), layers=1, native=order != "floor")


@pytest.mark.parametrize("low", [0, -2])
def test_padded_and_pooled_levels(low: int) -> None:
    b = Builder((5, 8, 8))
    q = b.op("Clip", b.op("Round", "x"), b.const(low), b.const(low + 3))
    pooled = b.op("MaxPool", q, kernel_shape=[2, 2], strides=[2, 2])
    b.op("Conv", pooled, b.const(signs(b, 4, 5, 3, 3)), pads=[1, 1, 1, 1])
    model = b.model(last(b))
    same_answers(model, 4 * grid((2, 5, 8, 8), 7), layers=1)
    assert "Round" not in operators(imported(model).model)


def test_zero_padding_needs_a_level_of_zero() -> None:
    b = Builder((5, 8, 8))
    q = b.op("Clip", b.op("Round", "x"), b.const(1), b.const(4))
    b.op("Conv", q, b.const(signs(b, 4, 5, 3, 3)), pads=[1, 1, 1, 1])
    model = b.model(last(b))
    found = imported(model)
    assert binary_layers(found.model) == 0
    x = 4 * grid((2, 5, 8, 8), 7)
    np.testing.assert_array_equal(onnxruntime(found.model, x)[0], onnxruntime(model, x)[0])


# --- Sign


def sign_net(
    *, channels: int = 3, kernel: int = 1, bias: float | None = None, norm: Any = None, **attrs: Any
) -> Builder:
    """bits -> conv -> ... -> Sign -> conv"""
    b = Builder((channels, 6, 6))
    bits = where("GreaterOrEqual", 1, -1)(b, "x", np.float32(0))
    inputs = [bits, b.const(signs(b, 8, channels, kernel, kernel))]
    x = b.op("Conv", *inputs, **attrs) if bias is None else b.op("Conv", *inputs, b.const(np.full(8, bias)), **attrs)
    if norm is not None:
        x = b.batch_norm(x, 8, **norm)
    b.op("Conv", b.op("Sign", x), b.const(signs(b, 4, 8, 1, 1)))
    return b


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 3},  # an odd number of products
        {"channels": 3, "kernel": 3},
        {"channels": 4, "bias": 0.5},  # an integer and a half
        {"channels": 4, "bias": -1.0},  # even sums are never 1
        {"channels": 4, "norm": {"mean": 0.37}},
    ],
)
def test_sign_that_never_sees_zero(options: dict[str, Any]) -> None:
    b = sign_net(**options)
    same_answers(b.model(last(b)), grid((3, options["channels"], 6, 6), 8), layers=2)


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 4},
        {"channels": 3, "kernel": 3, "pads": [1, 1, 1, 1]},  # 3 of 9 taps or 6: even sums at the border
        {"channels": 3, "bias": 1.0},
        {"channels": 4, "norm": {"mean": 2.0, "gamma": 0.0}},
    ],
)
def test_sign_that_may_see_zero(options: dict[str, Any]) -> None:
    b = sign_net(**options)
    if "norm" in options:  # beta = 0 as well: the batch norm is 0 everywhere
        beta = next(c for c in b.constants if c.name == next(n for n in b.nodes if n.op_type[0] == "B").input[2])
        beta.CopyFrom(onnx.numpy_helper.from_array(np.zeros(8, np.float32), beta.name))
    model = b.model(last(b))
    sign = next(n for n in b.nodes if n.op_type == "Sign")
    with pytest.raises(ImportModelError, match=rf"Sign node '{sign.name}'.*may be 0.*zero_is_plus"):
        imported(model)
    found = imported(model, zero_is_plus=True)
    assert binary_layers(found.model) == 2
    assert any("sign(0) taken as +1" in f.note for f in found.findings)


def test_zero_is_plus_changes_zeros_only() -> None:
    b = Builder((5,))
    b.op("MatMul", b.op("Sign", "x"), b.const(signs(b, 5, 4)))
    model = b.model(last(b))
    with pytest.raises(ImportModelError, match="zero_is_plus"):
        imported(model)
    found = imported(model, zero_is_plus=True)
    x = grid((50, 5), 9)
    changed = np.where(x == 0, np.float32(1), x)
    np.testing.assert_array_equal(onnxruntime(found.model, x)[0], onnxruntime(model, changed)[0])


def test_sign_away_from_binary_layers_stays() -> None:
    b = Builder((5,))
    b.op("MatMul", b.op("Sign", "x"), b.const(b.normal(5, 4)))
    model = b.model(last(b))
    assert imported(model).model == model


# --- near misses


def nudged(w: Array) -> Array:
    w = w.copy()
    w[1, 2, 0, 0] = np.nextafter(w[1, 2, 0, 0], np.float32(np.inf))
    return w


@pytest.mark.parametrize("kind", ["nudged", "three_values", "per_input_channel", "zero_row", "nan", "inf", "double"])
def test_weights_that_are_almost_binary(kind: str) -> None:
    b = Builder((5, 7, 6))
    bits = where("GreaterOrEqual", 1, -1)(b, "x", np.float32(0))
    w = signs(b, 4, 5, 3, 3, scale=0.1)
    if kind == "nudged":
        w = nudged(w)
    elif kind == "three_values":
        w[0, 0, 0, 0] = 0
    elif kind == "per_input_channel":
        w = w * np.arange(1, 6, dtype=np.float32).reshape(1, 5, 1, 1)
    elif kind == "zero_row":
        w[2] = 0
    elif kind in ("nan", "inf"):
        w[3] = np.float32(kind)
    weight = b.const(w)
    if kind == "double":
        weight = b.op("Cast", b.const(w.astype(np.float64), np.float64), to=FLOAT)
        weight = b.op("Add", weight, b.const(b.normal(4, 5, 3, 3) * 1e-7))
    b.op("Conv", bits, weight)
    assert binary_layers(imported(b.model(last(b))).model) == 0


@pytest.mark.parametrize(
    "build",
    [
        lambda b: b.op("Where", b.op("GreaterOrEqual", "x", b.const(np.nan)), b.const(1), b.const(-1)),
        lambda b: b.op("Where", b.op("GreaterOrEqual", "x", b.const(0)), b.const(1), b.const(-0.999)),
        lambda b: b.op("Where", b.op("GreaterOrEqual", "x", b.const(0)), b.const(1), b.const(np.nan)),
        lambda b: b.op("Where", b.op("GreaterOrEqual", "x", b.const(0)), "x", b.const(-1)),
        lambda b: b.op("Where", b.op("Equal", "x", b.const(0)), b.const(1), b.const(-1)),
        lambda b: b.op("Where", b.op("GreaterOrEqual", "x", b.const(np.eye(7, 6))), b.const(1), b.const(-1)),
        lambda b: b.op("Where", b.op("Less", b.const(0), "x"), b.const(1), b.const(-1 - np.eye(5, 1)[:, :, None])),
        lambda b: b.op("Clip", "x", b.const(-1), b.const(1)),
        lambda b: b.op("Tanh", b.op("Mul", "x", b.const(1e6))),
    ],
    ids=["nan_threshold", "other_low", "nan_low", "x_inside", "equal", "per_pixel", "mixed_low", "clip", "tanh"],
)  # fmt: skip
def test_activations_that_are_almost_binary(build: Callable[[Builder], str]) -> None:
    b = Builder((5, 7, 6))
    b.op("Conv", build(b), b.const(signs(b, 4, 5, 3, 3)))
    model = b.model(last(b))
    found = imported(model)
    assert not {"BinaryConv", "LevelConv"} & set(operators(found.model)), str(found)
    x = grid((2, 5, 7, 6), 1)
    np.testing.assert_allclose(onnxruntime(found.model, x)[0], onnxruntime(model, x)[0], rtol=1e-6, atol=1e-5)


# --- weight only, and nothing at all


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm", "MatMul"])
def test_real_activations_keep_float_layers(op: str) -> None:
    b = Builder((6, 7, 6) if op.startswith("Conv") else (9,))
    if op == "Conv":
        b.op(
            "Conv",
            "x",
            b.const(signs(b, 4, 3, 3, 3, scale=[0.1, 1, 2, 3])),
            b.const(b.normal(4)),
            group=2,
            pads=[1, 1, 1, 1],
        )
    elif op == "ConvTranspose":
        b.op("ConvTranspose", "x", b.const(signs(b, 6, 2, 3, 3)), strides=[2, 2])
    elif op == "Gemm":
        b.op("Gemm", "x", b.const(signs(b, 4, 9, scale=[0.1, 1, 2, 3])), b.const(b.normal(4)), transB=1)
    else:
        b.op("MatMul", "x", b.const(signs(b, 9, 4)))
    model = b.model(last(b))
    found = imported(model)
    assert "UnpackWeight" in operators(found.model)
    x = b.normal(3, *b.shape)
    wanted = onnxruntime(model, x)[0]
    for got in (onnxruntime(found.model, x)[0], engine(found.model, x)[0]):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * float(np.ptp(wanted)))


def test_averages_are_no_binary_weights() -> None:
    b = Builder((3, 6, 6))
    b.op("Conv", "x", b.const(np.full((3, 1, 2, 2), 0.25)), group=3)
    model = b.model(last(b))
    assert imported(model).model == model


def test_a_model_without_patterns_passes_unchanged() -> None:
    b = Builder((3, 6, 6))
    b.op("Relu", b.conv("x", 3, 4))
    model = b.model(last(b))
    found = imported(model)
    assert found.model == model
    assert not found.findings


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 18, 21])
def test_older_operator_sets(opset: int) -> None:
    """The dialect's bodies need operator set 18; older files are converted."""
    rng = np.random.default_rng(0)
    w = np.where(rng.random((4, 3, 3, 3)) < 0.5, -1, 1).astype(np.float32)
    constants = {"w": w, "zero": np.zeros((), np.float32), "one": np.float32(1), "minus": np.float32(-1)}
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["set"]),
        helper.make_node("Where", ["set", "one", "minus"], ["bits"]),
        helper.make_node("Conv", ["bits", "w"], ["sums"]),
        helper.make_node("Flatten", ["sums"], ["y"], name="flat"),
    ]
    info = [
        helper.make_tensor_value_info("x", FLOAT, ["N", 3, 5, 5]),
        helper.make_tensor_value_info("y", FLOAT, ["N", 36]),
    ]
    graph = helper.make_graph(
        nodes, "old", info[:1], info[1:], [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    same_answers(model, grid((2, 3, 5, 5), 3), layers=1)
