"""Every operator: the compiled program (fused and unfused), in the numpy interpreter, against onnxruntime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bitwright.compiler import UnsupportedModelError, build
from bitwright.compiler.bwm import encode
from bitwright.compiler.bwm_read import read
from bitwright.compiler.interpreter import run

from .graphs import Array, Builder, onnxruntime

Case = Callable[[], tuple[Builder, list[str]]]
CASES: dict[str, Case] = {}


def case(fn: Case) -> Case:
    CASES[fn.__name__] = fn
    return fn


def check(b: Builder, outputs: list[str], batch: int = 3, x: Array | None = None, exact: bool = False) -> None:
    """Compiles with and without the passes, writes, reads back, runs."""
    model = b.model(*outputs)
    if x is None:
        x = np.random.default_rng(7).standard_normal((batch, *b.shape)).astype(np.float32)
    wanted = onnxruntime(model, x)
    for optimize in (False, True):
        program = read(encode(build(model, optimize=optimize)))
        got = run(program, {"x": x})
        for name, reference in zip(outputs, wanted, strict=True):
            assert got[name].shape == reference.shape
            if exact:
                np.testing.assert_array_equal(got[name], reference)
            else:
                spread = float(np.ptp(reference)) or 1.0
                np.testing.assert_allclose(got[name], reference, rtol=0, atol=1e-5 * spread)


@pytest.mark.parametrize("pad_value", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize(
    ("channels", "outputs", "group"), [(3, 5, 1), (40, 33, 1), (32, 64, 2), (12, 12, 12), (40, 80, 40)]
)
def test_binary_conv_padding(channels: int, outputs: int, group: int, pad_value: float) -> None:
    b = Builder((channels, 6, 5))
    y = b.bconv("x", channels, outputs, group=group, pads=(1, 2, 0, 1), pad_value=pad_value)
    check(b, [y], exact=True)


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_binary_conv_edge_stride_dilation(low: float) -> None:
    b = Builder((9, 11, 10))
    t = b.normal(9)
    y = b.bconv("x", 9, 7, (3, 2), stride=2, dilation=2, pads=(2, 1, 2, 1), pad_mode="edge", low=low, threshold=t)
    check(b, [y], exact=True)


@pytest.mark.parametrize("pad_value", [0.0, 1.0])
def test_binary_conv_zero_one_activations(pad_value: float) -> None:
    b = Builder((20, 6, 6))
    check(b, [b.bconv("x", 20, 8, pads=(1, 1, 1, 1), low=0.0, pad_value=pad_value)], exact=True)


def test_binary_conv_1d_and_3d() -> None:
    b = Builder((10, 17))
    check(b, [b.bconv("x", 10, 6, (5,), stride=2, pads=(2, 2))], exact=True)
    b = Builder((6, 4, 5, 6))
    check(b, [b.bconv("x", 6, 8, (2, 3, 3), pads=(1, 1, 1, 0, 1, 1))], exact=True)


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_binary_conv_transpose(low: float) -> None:
    b = Builder((8, 5, 6))
    y = b.bconv_transpose("x", 8, 6, (3, 4), stride=2, pads=(1, 0, 1, 2), output_padding=1, group=2, low=low)
    check(b, [y], exact=True)
    b = Builder((8, 5))
    check(b, [b.bconv_transpose("x", 8, 6, (3,), dilation=2)], exact=True)


@pytest.mark.parametrize("threshold", ["scalar", "channel", "pixel"])
def test_flatten_then_binary_linear(threshold: str) -> None:
    b = Builder((5, 3, 4))
    t = {"scalar": np.float32(0.2), "channel": np.repeat(b.normal(5), 12), "pixel": b.normal(60)}[threshold]
    y = b.blinear(b.op("Flatten", "x"), 60, 40, threshold=t)
    check(b, [b.blinear(y, 40, 9)], exact=True)


def test_binary_linear_on_a_sequence() -> None:
    b = Builder((7, 33))
    check(b, [b.blinear("x", 33, 5, low=0.0)], exact=True)


@pytest.mark.parametrize("scale", ["one", "row"])
def test_embedding(scale: str) -> None:
    from onnx import TensorProto

    b = Builder((6,), dtype=TensorProto.INT64)
    y = b.embedding("x", 11, 40, 0.5 if scale == "one" else b.normal(11))
    x = np.random.default_rng(0).integers(0, 11, (4, 6))
    check(b, [y], x=x, exact=True)


def simple(shape: tuple[int, ...], fn: Callable[[Builder], str]) -> Callable[[], tuple[Builder, list[str]]]:
    def make() -> tuple[Builder, list[str]]:
        b = Builder(shape)
        return b, [fn(b)]

    return make


MAP = (6, 7, 8)
SIMPLE: dict[str, tuple[tuple[int, ...], Callable[[Builder], str]]] = {
    "conv": (MAP, lambda b: b.conv("x", 6, 9, pads=[1, 1, 1, 1], strides=[2, 1])),
    "conv_groups": (MAP, lambda b: b.conv("x", 6, 12, group=3, dilations=[2, 2], bias=False)),
    "conv_same": (MAP, lambda b: b.conv("x", 6, 4, (4, 3), auto_pad="SAME_UPPER", strides=[2, 2])),
    "conv_same_lower": (MAP, lambda b: b.conv("x", 6, 4, (4, 3), auto_pad="SAME_LOWER", strides=[2, 2])),
    "conv1d": ((4, 15), lambda b: b.conv("x", 4, 6, (5,), pads=[2, 1])),
    "conv3d": ((2, 4, 5, 6), lambda b: b.conv("x", 2, 3, (3, 3, 3), pads=[1, 0, 1, 1, 0, 1])),
    "conv_transpose": (
        MAP,
        lambda b: b.op(
            "ConvTranspose",
            "x",
            b.const(b.normal(6, 4, 3, 2)),
            b.const(b.normal(8)),
            group=2,
            strides=[2, 2],
            pads=[1, 0, 1, 0],
            output_padding=[1, 1],
        ),
    ),
    "gemm": (
        (30,),
        lambda b: b.op("Gemm", "x", b.const(b.normal(7, 30)), b.const(b.normal(7)), transB=1, alpha=0.5, beta=2.0),
    ),
    "gemm_no_bias": ((30,), lambda b: b.op("Gemm", "x", b.const(b.normal(30, 7)))),
    "matmul_sequence": ((5, 30), lambda b: b.op("MatMul", "x", b.const(b.normal(30, 7)))),
    "flatten_gemm": (MAP, lambda b: b.op("Gemm", b.op("Flatten", "x"), b.const(b.normal(336, 7)))),
    "reshape_gemm": (MAP, lambda b: b.op("Gemm", b.op("Reshape", "x", b.ints(0, -1)), b.const(b.normal(336, 7)))),
    "transpose_flatten_gemm": (
        MAP,
        lambda b: b.op("Gemm", b.op("Flatten", b.op("Transpose", "x", perm=[0, 3, 1, 2])), b.const(b.normal(336, 7))),
    ),
    "batch_norm": (MAP, lambda b: b.batch_norm("x", 6)),
    "batch_norm_vector": ((9,), lambda b: b.batch_norm("x", 9)),
    "flatten_batch_norm": (MAP, lambda b: b.batch_norm(b.op("Flatten", "x"), 336)),
    "relu": (MAP, lambda b: b.op("Relu", "x")),
    "leaky_relu": (MAP, lambda b: b.op("LeakyRelu", "x", alpha=0.3)),
    "prelu": (MAP, lambda b: b.op("PRelu", "x", b.const(b.normal(6, 1, 1)))),
    "prelu_one": (MAP, lambda b: b.op("PRelu", "x", b.const(b.normal(1)))),
    "clip": (MAP, lambda b: b.op("Clip", "x", b.const(-0.5), b.const(1.0))),
    "clip_max": (MAP, lambda b: b.op("Clip", "x", "", b.const(0.1))),
    "sigmoid": (MAP, lambda b: b.op("Sigmoid", "x")),
    "tanh": (MAP, lambda b: b.op("Tanh", "x")),
    "abs": (MAP, lambda b: b.op("Abs", "x")),
    "neg": (MAP, lambda b: b.op("Neg", "x")),
    "exp": (MAP, lambda b: b.op("Exp", "x")),
    "sqrt": (MAP, lambda b: b.op("Sqrt", b.op("Abs", "x"))),
    "erf": (MAP, lambda b: b.op("Erf", "x")),
    "gelu": (MAP, lambda b: b.op("Gelu", "x")),
    "elu": (MAP, lambda b: b.op("Elu", "x", alpha=0.7)),
    "selu": (MAP, lambda b: b.op("Selu", "x")),
    "hard_sigmoid": (MAP, lambda b: b.op("HardSigmoid", "x", alpha=1 / 6, beta=0.5)),
    "hard_swish": (MAP, lambda b: b.op("HardSwish", "x")),
    "add_channel": (MAP, lambda b: b.op("Add", b.const(b.normal(1, 6, 1, 1)), "x")),
    "sub_const": (MAP, lambda b: b.op("Sub", "x", b.const(b.normal(6, 1, 1)))),
    "const_sub": (MAP, lambda b: b.op("Sub", b.const(2.0), "x")),
    "mul_const": (MAP, lambda b: b.op("Mul", "x", b.const(b.normal(1, 6, 1, 1)))),
    "div_const": (MAP, lambda b: b.op("Div", "x", b.const(3.0))),
    "pow": (MAP, lambda b: b.op("Pow", "x", b.const(2.0))),
    "add": (MAP, lambda b: b.op("Add", "x", b.op("Relu", "x"))),
    "sub": (MAP, lambda b: b.op("Sub", "x", b.op("Relu", "x"))),
    "mul": (MAP, lambda b: b.op("Mul", b.op("Relu", "x"), "x")),
    "gate": (MAP, lambda b: b.op("Mul", b.op("Sigmoid", b.op("GlobalAveragePool", "x")), "x")),
    "max_pool": (MAP, lambda b: b.op("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])),
    "max_pool_ceil": ((3, 8, 10), lambda b: b.op("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
    "max_pool_ceil_pad": (
        (3, 7, 10),
        lambda b: b.op("MaxPool", "x", kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1, pads=[1, 1, 1, 1]),
    ),
    "avg_pool": (MAP, lambda b: b.op("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])),
    "avg_pool_padded": (
        MAP,
        lambda b: b.op("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    ),
    "avg_pool_ceil": ((3, 8, 10), lambda b: b.op("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
    "global_average_pool": (MAP, lambda b: b.op("GlobalAveragePool", "x")),
    "global_max_pool": (MAP, lambda b: b.op("GlobalMaxPool", "x")),
    "reduce_mean": (MAP, lambda b: b.op("ReduceMean", "x", b.ints(2, 3), keepdims=0)),
    "reduce_mean_one": (MAP, lambda b: b.op("ReduceMean", "x", b.ints(-1), keepdims=1)),
    "reduce_max": (MAP, lambda b: b.op("ReduceMax", "x", b.ints(2), keepdims=0)),
    "concat": (MAP, lambda b: b.op("Concat", "x", b.op("Relu", "x"), "x", axis=1)),
    "slice": (MAP, lambda b: b.op("Slice", "x", b.ints(1, 0), b.ints(9999, -1), b.ints(2, 3), b.ints(2, 3))),
    "slice_slice": (
        MAP,
        lambda b: b.op(
            "Slice",
            b.op("Slice", "x", b.ints(1), b.ints(7), b.ints(2), b.ints(2)),
            b.ints(1, 1),
            b.ints(3, 5),
            b.ints(2, 1),
            b.ints(1, 2),
        ),
    ),
    "option_a": (
        MAP,
        lambda b: b.op(
            "Pad",
            b.op("Slice", "x", b.ints(0, 0), b.ints(99, 99), b.ints(2, 3), b.ints(2, 2)),
            b.ints(0, 3, 0, 0, 0, 4, 0, 0),
        ),
    ),
    "pad_conv": (MAP, lambda b: b.conv(b.op("Pad", "x", b.ints(0, 0, 1, 2, 0, 0, 0, 1)), 6, 4, pads=[1, 1, 1, 1])),
    "pad_edge_conv": (MAP, lambda b: b.conv(b.op("Pad", "x", b.ints(0, 0, 1, 2, 0, 0, 0, 1), mode="edge"), 6, 4)),
    "pad_edge_alone": (MAP, lambda b: b.op("Relu", b.op("Pad", "x", b.ints(0, 0, 1, 2, 0, 0, 0, 1), mode="edge"))),
    "pad_edge_padded_conv": (
        MAP,
        lambda b: b.conv(b.op("Pad", "x", b.ints(0, 0, 1, 2, 0, 0, 0, 1), mode="edge"), 6, 4, pads=[1, 1, 1, 1]),
    ),
    "pad_max_pool": (
        MAP,
        lambda b: b.op(
            "MaxPool",
            b.op("Pad", "x", b.ints(0, 0, 1, 1, 0, 0, 1, 1), b.const(-np.inf)),
            kernel_shape=[3, 3],
            strides=[2, 2],
        ),
    ),
    "squeeze": (MAP, lambda b: b.op("Squeeze", b.op("GlobalAveragePool", "x"), b.ints(2, 3))),
    "unsqueeze_conv": ((6, 12), lambda b: b.conv(b.op("Unsqueeze", "x", b.ints(2)), 6, 4, (1, 3))),
    "unsqueeze_last_conv": ((6, 12), lambda b: b.conv(b.op("Unsqueeze", "x", b.ints(3)), 6, 4, (3, 1))),
    "transposed_space_conv": (
        MAP,
        lambda b: b.conv(b.op("Transpose", "x", perm=[0, 1, 3, 2]), 6, 4, (3, 2), strides=[2, 1]),
    ),
    "transpose_output": (MAP, lambda b: b.op("Transpose", b.op("Relu", "x"), perm=[0, 3, 1, 2])),
    "flatten_output": (MAP, lambda b: b.op("Flatten", b.op("Relu", "x"))),
    "flatten_one_channel": ((1, 7, 8), lambda b: b.op("Gemm", b.op("Flatten", "x"), b.const(b.normal(56, 3)))),
    "identity_output": (MAP, lambda b: b.op("Identity", "x")),
    "dropout": (MAP, lambda b: b.op("Dropout", b.op("Relu", "x"))),
    "constant_folding": (
        MAP,
        lambda b: b.op("Mul", "x", b.op("Exp", b.op("Reshape", b.const(b.normal(6)), b.ints(1, 6, 1, 1)))),
    ),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_operator(name: str) -> None:
    shape, fn = SIMPLE[name]
    b = Builder(shape)
    check(b, [fn(b)])


@pytest.mark.parametrize("pieces", [[2, 4], [3, 3]])
def test_split(pieces: list[int]) -> None:
    b = Builder(MAP)
    one, two = b.op("Split", "x", b.ints(*pieces), outputs=2, axis=1)
    check(b, [one, two], exact=True)


def test_split_to_sequence() -> None:
    b = Builder(MAP)
    s = b.op("SplitToSequence", "x", b.const(4, np.int64), axis=1)
    y = b.op("Concat", b.op("SequenceAt", s, b.const(1, np.int64)), b.op("SequenceAt", s, b.const(0, np.int64)), axis=1)
    check(b, [y], exact=True)


@pytest.mark.parametrize("value", [-3.0, 3.0])
def test_pad_before_binary_conv(value: float) -> None:
    b = Builder((6, 5, 5))
    p = b.op("Pad", "x", b.ints(0, 0, 1, 1, 0, 0, 1, 1), b.const(value))
    check(b, [b.bconv(p, 6, 4)], exact=True)
    b = Builder((6, 5, 5))
    p = b.op("Pad", "x", b.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="edge")
    check(b, [b.bconv(p, 6, 4)], exact=True)


def test_dynamic_batch_shape_arithmetic() -> None:
    b = Builder(MAP)
    n = b.op("Squeeze", b.op("Shape", "x", start=0, end=1))
    target = b.op("Concat", b.op("Reshape", n, b.ints(-1)), b.ints(-1), axis=0)
    y = b.op("Gemm", b.op("Reshape", "x", target), b.const(b.normal(336, 4)))
    check(b, [y])


def test_fixed_batch_in_the_file() -> None:
    b = Builder(MAP, batch=3)
    check(b, [b.op("Gemm", b.op("Reshape", "x", b.ints(3, 336)), b.const(b.normal(336, 4)))])


def test_residual_block_with_shared_bits_and_several_outputs() -> None:
    b = Builder((16, 8, 8))
    y = b.batch_norm(b.bconv("x", 16, 16, pads=(1, 1, 1, 1)), 16)
    y = b.op("PRelu", b.op("Add", y, "x"), b.const(abs(b.normal(16, 1, 1))))
    z = b.batch_norm(b.bconv(y, 16, 32, pads=(1, 1, 1, 1), stride=2), 32)
    s = b.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])
    s = b.batch_norm(b.bconv(s, 16, 32, (1, 1)), 32)
    t = b.bconv(y, 16, 4)  # reads the same bits as z
    out = b.op("Add", z, s)
    check(b, [out, t, y])


def test_two_binary_layers_run_on_bits_alone() -> None:
    b = Builder((16, 8, 8))
    y = b.batch_norm(b.bconv("x", 16, 32, pads=(1, 1, 1, 1)), 32)
    y = b.bconv(b.op("Clip", y, b.const(-1.0), b.const(1.0)), 32, 8, threshold=0.3)
    check(b, [y], exact=True)
    program = build(b.model(y))
    assert [type(op).__name__ for op in program.ops] == ["Map", "BConv", "BConv"]
    assert [s.kind.name for s in program.ops[1].steps] == ["THRESHOLD"]


def test_a_strided_shortcut_is_added_in_the_epilogue() -> None:
    """ResNet's option A: slice and pad channels, added to the convolution that stands before them in the graph."""
    b = Builder((16, 8, 8))
    x = b.op("Relu", "x")
    y = b.batch_norm(b.bconv(x, 16, 32, stride=2, pads=(1, 1, 1, 1)), 32)
    s = b.op("Slice", x, b.ints(0, 0), b.ints(99, 99), b.ints(2, 3), b.ints(2, 2))
    s = b.op("Pad", s, b.ints(0, 8, 0, 0, 0, 8, 0, 0))
    out = b.op("Add", y, s)
    check(b, [out])
    program = build(b.model(out))
    assert [type(op).__name__ for op in program.ops] == ["Map", "Copy", "BConv"]


def test_old_operator_sets() -> None:
    """Attributes that later became inputs."""
    from onnx import helper

    b = Builder((4, 6, 6))
    y = b.op("Slice", "x", starts=[1, 0], ends=[6, 5], axes=[2, 3])
    y = b.op("Pad", y, pads=[0, 0, 1, 0, 0, 0, 0, 1], value=0.0, mode="constant")
    y = b.op("Clip", b.conv(y, 4, 8), min=-0.5, max=0.5)
    y = b.op("Squeeze", b.op("Unsqueeze", y, axes=[2]), axes=[2])
    one, two = b.op("Split", y, outputs=2, axis=1, split=[2, 6])
    y = b.op("Concat", two, one, axis=1)
    y = b.op("ReduceMean", y, axes=[2, 3], keepdims=0)
    model = helper.make_model(
        b.model(y, functions=False).graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4
    )
    x = np.random.default_rng(7).standard_normal((3, 4, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(run(build(model), {"x": x})[y], onnxruntime(model, x)[0], rtol=0, atol=1e-6)


def test_unpack_weight() -> None:
    """Weight-only binarization: a float convolution with ±1 weights, its scale behind it."""
    from bitwright.compiler.dialect import UnpackWeightAttrs, pack_bits

    b = Builder((5, 6, 6))
    packed = b.const(pack_bits(b.rng.random((7, 9, 5)) < 0.5), np.uint8)
    b.nodes.append(UnpackWeightAttrs(shape=(7, 5, 3, 3)).make_node([packed], ["w"], name="unpack"))
    y = b.op("Mul", b.op("Conv", "x", "w"), b.const(b.normal(7, 1, 1)))
    check(b, [y])


def test_a_large_flattened_map_is_refused() -> None:
    b = Builder((2, 80, 80))
    y = b.batch_norm(b.op("Flatten", "x"), 2 * 80 * 80)
    with pytest.raises(UnsupportedModelError, match="6400 pixels"):
        build(b.model(y))
