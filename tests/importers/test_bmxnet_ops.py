"""Every operator of the BMXNet importer: the imported ONNX in onnxruntime, and compiled in the engine, against an
evaluator that shares no code with the importer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bitwright import compiler, importers
from bitwright.runtime import Session

from .mxnet_files import Net, pack_dense, pack_words
from .reference.bmxnet import Evaluator

Entry = list[int]
Case = Callable[[Net, Entry, np.random.Generator], Any]
SHAPE = (6, 9, 8)
CASES: dict[str, tuple[Case, tuple[int, ...], bool]] = {}


def case(shape: tuple[int, ...] = SHAPE, *, native: bool = True) -> Callable[[Case], Case]:
    def add(build: Case) -> Case:
        CASES[build.__name__] = (build, shape, native)
        return build

    return add


def one(name: str, op: str, sample: tuple[int, ...] = SHAPE, *, native: bool = True, **attrs: Any) -> None:
    """A case of a single operator without parameters."""
    CASES[name] = (lambda net, x, rng: net.op(op, [x], **attrs), sample, native)


def weight(net: Net, rng: np.random.Generator, *shape: int, name: str = "weight") -> Entry:
    return net.param(name, rng.normal(size=shape).astype("f4"))


# --- binary layers


Sizes = tuple[int, ...]


def binary_case(name: str, filters: int, kernel: Sizes, shape: Sizes, bits: int, **attrs: Any) -> None:
    """A QConvolution of float weights (bits 0) or packed in words of `bits`, batch norm and QActivation in front."""

    def build(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
        x = net.op("QActivation", [net.batch_norm(x, shape[0], rng, fix_gamma=False)], backward_only=True)
        group = attrs.get("num_group", 1)
        w = rng.normal(size=(filters, shape[0] // group, *kernel)).astype("f4")
        if bits:
            attrs["binarized_weights_only"] = True
            w = pack_words(w >= 0, bits)
        inputs = [x, net.param("w", w)]
        if attrs.get("no_bias") is False:
            inputs.append(weight(net, rng, filters, name="b"))
        return net.op("QConvolution", inputs, kernel=kernel, num_filter=filters, **attrs)

    # Padding a float layer with +1 is nothing that the engine knows.
    CASES[name] = (build, shape, (attrs.get("act_bit", 1), attrs.get("weight_bit", 1)) != (1, 2))


binary_case("qconv", 5, (3, 3), SHAPE, 0, pad=(1, 1))
binary_case("qconv_packed64", 7, (3, 3), (64, 5, 6), 64, pad=(1, 1), stride=(2, 2))
binary_case("qconv_packed32", 4, (3, 2), (32, 6, 5), 32, dilate=(2, 1))
binary_case("qconv_bias_scaling", 5, (3, 3), SHAPE, 0, pad=(1, 0), no_bias=False, scaling_mode="forward")
binary_case("qconv_scaling_backward", 5, (1, 1), SHAPE, 0, scaling_mode="backward")
binary_case("qconv_groups", 6, (3, 3), SHAPE, 0, num_group=3, pad=(2, 1))
binary_case("qconv_1d", 6, (3,), (8, 11), 0, pad=(1,))
binary_case("qconv_levels2", 5, (3, 3), SHAPE, 0, act_bit=2, pad=(1, 1))
binary_case("qconv_levels8", 5, (2, 2), SHAPE, 0, act_bit=8)
binary_case("qconv_real_inputs", 5, (3, 3), SHAPE, 0, act_bit=32, pad=(1, 1))
binary_case("qconv_levels_weights4", 5, (3, 3), SHAPE, 0, act_bit=3, weight_bit=4)
binary_case("qconv_signs_weights2", 5, (3, 3), SHAPE, 0, act_bit=1, weight_bit=2, pad=(1, 2))
binary_case("qconv_float", 5, (3, 3), SHAPE, 0, act_bit=32, weight_bit=32, pad=(1, 1))


def dense_case(name: str, outputs: int, shape: tuple[int, ...], bits: int, **attrs: Any) -> None:
    def build(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
        x = net.batch_norm(x, shape[0], rng, eps=2e-5)
        w = rng.normal(size=(outputs, math.prod(shape))).astype("f4")
        if bits:
            attrs["binarized_weights_only"] = True
            w = pack_dense(w >= 0, bits)
        inputs = [x, net.param("w", w)]
        if attrs.get("no_bias") is False:
            inputs.append(weight(net, rng, outputs, name="b"))
        return net.op("QFullyConnected", inputs, num_hidden=outputs, **attrs)

    CASES[name] = (build, shape, True)


dense_case("qfc", 5, (70,), 0)
dense_case("qfc_map", 5, SHAPE, 0, no_bias=False)
dense_case("qfc_packed64", 9, (4, 4, 12), 64)
dense_case("qfc_packed32", 9, (96,), 32)
dense_case("qfc_levels", 5, (70,), 0, act_bit=4)
dense_case("qfc_real_inputs", 5, (70,), 0, act_bit=32)
dense_case("qfc_weights2", 5, (70,), 0, act_bit=1, weight_bit=2)

one("qactivation", "QActivation")
one("qactivation_vector", "QActivation", (11,))
one("qactivation_levels", "QActivation", act_bit=3)
one("qactivation_levels_vector", "QActivation", (11,), act_bit=2)
one("qactivation_levels9", "QActivation", native=False, act_bit=9)
one("qactivation_float", "QActivation", act_bit=32)


@case((64, 6, 6))
def binary_block(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    """A ResNet block: two binary convolutions behind batch norms, a packed one, and a binary shortcut."""
    a = net.batch_norm(x, 64, rng, fix_gamma="False", eps=2e-5)
    w1 = net.param("w1", pack_words(rng.normal(size=(64, 64, 3, 3)) >= 0, 64))
    y = net.op("QConvolution", [a, w1], kernel=(3, 3), pad=(1, 1), num_filter=64, binarized_weights_only=True)
    y = net.batch_norm(y, 64, rng, fix_gamma=False)
    y = net.op("QConvolution", [y, weight(net, rng, 64, 64, 3, 3)], kernel=(3, 3), pad=(1, 1), num_filter=64, act_bit=1)
    shortcut = net.op("QConvolution", [a, weight(net, rng, 64, 64, 1, 1, name="sc")], kernel=(1, 1), num_filter=64)
    return net.op("elemwise_add", [y, shortcut])


# --- float layers


def conv_case(name: str, shape: tuple[int, ...], filters: int, kernel: tuple[int, ...], **attrs: Any) -> None:
    def build(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
        group, transposed = attrs.get("num_group", 1), name.startswith("deconv")
        wide = (shape[0], filters // group) if transposed else (filters, shape[0] // group)
        inputs = [x, weight(net, rng, *wide, *kernel)]
        if not attrs.get("no_bias", transposed):
            inputs.append(weight(net, rng, filters, name="bias"))
        op = "Deconvolution" if transposed else "Convolution"
        return net.op(op, inputs, kernel=kernel, num_filter=filters, **attrs)

    CASES[name] = (build, shape, True)


conv_case("conv", SHAPE, 5, (3, 3), pad=(1, 1), stride=(2, 1))
conv_case("conv_groups_dilated", SHAPE, 6, (3, 3), num_group=2, dilate=(2, 2), no_bias=True)
conv_case("conv_1d", (6, 12), 4, (3,), pad=(1,))
conv_case("deconv", (4, 5, 6), 3, (3, 3), stride=(2, 2), pad=(1, 1), adj=(1, 0))
conv_case("deconv_groups", (4, 5, 6), 6, (2, 3), num_group=2, no_bias=False)


@case()
def fully_connected(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    return net.op("FullyConnected", [x, weight(net, rng, 5, 432), weight(net, rng, 5, name="b")], num_hidden=5)


@case((7, 12))
def fully_connected_last_axis(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    inputs = [x, weight(net, rng, 5, 12), weight(net, rng, 5, name="b")]
    return net.op("FullyConnected", inputs, num_hidden=5, flatten=False)


@case((12,))
def fully_connected_no_bias(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    return net.op("FullyConnected", [x, weight(net, rng, 5, 12)], num_hidden=5, no_bias=True)


@case()
def batch_norm_defaults(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    return net.batch_norm(x, 6, rng)


@case((10,))
def batch_norm_vector(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    return net.batch_norm(x, 10, rng, fix_gamma=False, axis=-1, use_global_stats=True)


# --- activations

for kind in ("relu", "sigmoid", "tanh"):
    one(f"activation_{kind}", "Activation", act_type=kind)
for kind in ("softrelu", "softsign"):
    one(f"activation_{kind}", "Activation", native=False, act_type=kind)
for kind in ("leaky", "rrelu", "gelu"):
    one(f"leaky_{kind}", "LeakyReLU", act_type=kind)
one("leaky_slope", "LeakyReLU", act_type="leaky", slope=0.1)
one("leaky_elu", "LeakyReLU", act_type="elu", slope=0.7)
one("leaky_selu", "LeakyReLU", act_type="selu")
one("hard_sigmoid", "hard_sigmoid", alpha=0.3, beta=0.4)
one("clip", "clip", a_min=-0.5, a_max=0.75)
for name in ("square", "exp", "abs", "negative", "relu"):
    one(f"function_{name}", name)


@case()
def leaky_prelu(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    return net.op("LeakyReLU", [x, weight(net, rng, 6)], act_type="prelu")


# --- pooling

one("pool_max", "Pooling", kernel=(2, 2), stride=(2, 2), pool_type="max")
one("pool_max_pad", "Pooling", kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
one("pool_max_full", "Pooling", kernel=(2, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
one("pool_max_full_pad", "Pooling", (6, 8, 8), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pooling_convention="full")
one("pool_avg", "Pooling", kernel=(3, 2), pool_type="avg")
one("pool_avg_pad", "Pooling", kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg")
one("pool_avg_exclude", "Pooling", kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False)
one("pool_avg_full", "Pooling", kernel=(2, 3), stride=(2, 2), pool_type="avg", pooling_convention="full")
one("pool_avg_full_pad", "Pooling", (6, 8, 8), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg",
    pooling_convention="full")  # fmt: skip
one("pool_avg_full_exclude", "Pooling", (6, 8, 8), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg",
    pooling_convention="full", count_include_pad=False)  # fmt: skip
one("pool_sum", "Pooling", kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="sum")
one("pool_sum_full", "Pooling", (6, 8, 8), kernel=(3, 3), stride=(2, 2), pool_type="sum", pooling_convention="full")
for kind in ("max", "avg", "sum"):
    one(f"pool_global_{kind}", "Pooling", global_pool=True, kernel=(7, 7), pool_type=kind)

# --- shapes and reductions

one("flatten", "Flatten")
one("reshape_keep", "Reshape", (6, 4, 4), native=False, shape=(0, 0, -1))
one("reshape_rest", "Reshape", (6, 4, 4), shape=(0, -2))
one("reshape_merge", "Reshape", (6, 4, 4), native=False, shape=(0, 0, -3))
one("reshape_split", "Reshape", (6, 4, 4), native=False, shape=(0, -4, 2, -1, -2))
one("reshape_batch", "Reshape", (6, 4, 4), shape=(-1, 96))
one("pad_constant", "Pad", mode="constant", pad_width=(0, 0, 0, 0, 1, 2, 0, 1), native=False, constant_value=0.5)
one("pad_edge", "Pad", mode="edge", pad_width=(0, 0, 0, 0, 1, 2, 0, 1))
one("pad_reflect", "Pad", mode="reflect", pad_width=(0, 0, 0, 0, 1, 2, 0, 1), native=False)
one("transpose", "transpose", axes=(0, 2, 3, 1))
one("swap_axis", "SwapAxis", dim1=2, dim2=3)
one("expand_dims", "expand_dims", (6, 4), axis=3)
one("squeeze", "squeeze", (6, 1, 4), axis=2)
one("slice_axis", "slice_axis", axis=1, begin=1, end=4)
one("slice_axis_to_end", "slice_axis", axis=2, begin=-3, end=None)
one("upsampling", "UpSampling", (3, 4, 5), native=False, scale=2, sample_type="nearest")
one("mean", "mean", axis=(2, 3))
one("mean_keep", "mean", axis=(2, 3), keepdims=True)
one("mean_exclude", "mean", axis=(0, 1), exclude=True)
one("max", "max", axis=3)
one("sum", "sum", native=False, axis=(1, 2))
one("softmax", "softmax", (10,), native=False)
one("log_softmax", "log_softmax", (10,), native=False, axis=1)
one("softmax_activation", "SoftmaxActivation", native=False, mode="channel")
one("logistic", "LogisticRegressionOutput", (10,))

# --- two operands, scalars, what changes nothing

for name in ("elemwise_add", "_Plus", "broadcast_add", "broadcast_sub", "broadcast_mul"):

    def two(net: Net, x: Entry, rng: np.random.Generator, op: str = name) -> Entry:
        return net.op(op, [net.op("Activation", [x], act_type="tanh"), net.op("abs", [x])])

    CASES[f"two_{name}"] = (two, SHAPE, True)
for name in ("broadcast_div", "_maximum", "_minimum"):

    def two_more(net: Net, x: Entry, rng: np.random.Generator, op: str = name) -> Entry:
        return net.op(op, [net.op("Activation", [x], act_type="tanh"), net.op("exp", [x])])

    CASES[f"two_{name}"] = (two_more, SHAPE, False)
for name in ("_plus_scalar", "_minus_scalar", "_rminus_scalar", "_mul_scalar", "_div_scalar"):
    one(f"scalar{name}", name, scalar=1.5)
one("scalar_power", "_power_scalar", scalar=2)
one("scalar_maximum", "_maximum_scalar", scalar=0.25)
one("scalar_minimum", "_minimum_scalar", scalar=0.25)
for name in ("Dropout", "identity", "BlockGrad"):
    one(f"nothing_{name}", name)
one("cast", "Cast", dtype="float32")
one("regression", "LinearRegressionOutput", (10,))


@case()
def scalar_rdiv(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    return net.op("_mul_scalar", [net.op("_rdiv_scalar", [net.op("exp", [x])], scalar=2.0)], scalar=3.0)


CASES["scalar_rdiv"] = (scalar_rdiv, SHAPE, False)


@case()
def gate(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    """Squeeze and excitation."""
    g = net.op("Activation", [net.op("Pooling", [x], global_pool=True, pool_type="avg")], act_type="sigmoid")
    return net.op("broadcast_mul", [x, g])


@case()
def broadcast_param(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    return net.op("broadcast_add", [x, net.param("shift", rng.normal(size=(1, 6, 1, 1)).astype("f4"))])


@case()
def add_n_and_concat(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    a, b = net.op("Activation", [x], act_type="relu"), net.op("square", [x])
    return net.op("Concat", [net.op("add_n", [a, b, x]), b])


@case()
def split_and_join(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    pieces = net.op("SliceChannel", [x], num_outputs=3)
    swapped = [net.op("abs", [[pieces[0], 2]]), [pieces[0], 0]]
    return net.op("Concat", swapped, dim=1)


@case((3, 6), native=False)
def split_squeeze(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    pieces = net.op("SliceChannel", [x], num_outputs=3, squeeze_axis=True)
    return net.op("elemwise_add", [[pieces[0], 0], [pieces[0], 2]])


@case((20,))
def classifier_head(net: Net, x: Entry, rng: np.random.Generator) -> Entry:
    """The label of the loss layer is no input of the imported model."""
    y = net.op("FullyConnected", [x, weight(net, rng, 5, 20), weight(net, rng, 5, name="b")], name="fc", num_hidden=5)
    return net.op("SoftmaxOutput", [y, net.variable("softmax_label")], name="softmax")


def write(name: str, folder: Path) -> tuple[Path, tuple[int, ...]]:
    build, shape, _ = CASES[name]
    rng = np.random.default_rng(sum(name.encode()))
    net = Net(attrs_key="attr" if len(name) % 2 else "attrs")
    head = build(net, net.variable("data"), rng)
    return net.write(folder, head, layout=len(name) % 3), shape


def samples(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).normal(0.2, 1, (3, *shape)).astype(np.float32)


def near(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=2e-5 * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str, tmp_path: Path) -> None:
    symbol, shape = write(name, tmp_path)
    imported = importers.load(symbol, options=importers.ImportOptions(input_shape=shape))
    assert imported.format == "bmxnet"
    x = samples(shape)
    reference = Evaluator(symbol, tmp_path / "net-0007.params")
    wanted = reference(*([x, None] if name == "logistic" else [x]))[0]
    session = onnxruntime.InferenceSession(imported.model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["data"]
    near(session.run(None, {"data": x})[0], wanted)
    if CASES[name][2]:
        compiler.compile(imported.model, tmp_path / "net.bwm")
        near(np.asarray(Session(tmp_path / "net.bwm").run(x)), wanted)


def test_probabilities_keep_the_softmax(tmp_path: Path) -> None:
    symbol, shape = write("classifier_head", tmp_path)
    options = importers.ImportOptions(input_shape=shape, probabilities=True)
    imported = importers.load(symbol, options=options)
    assert [o.name for o in imported.model.graph.output] == ["softmax_output"]
    session = onnxruntime.InferenceSession(imported.model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = samples(shape)
    near(session.run(None, {"data": x})[0], Evaluator(symbol, tmp_path / "net-0007.params", logits=False)(x)[0])


def test_every_operator_of_the_importer_has_a_case(tmp_path: Path) -> None:
    """Aliases of the same converter count once."""
    from bitwright.importers.bmxnet.call import REGISTRY
    from bitwright.importers.bmxnet.convert import Conversion  # noqa: F401  (registers the converters)

    used = set()
    for name in CASES:
        net = Net()
        CASES[name][0](net, net.variable("data"), np.random.default_rng(0))
        used |= {REGISTRY[n["op"]] for n in net.nodes if n["op"] != "null"}
    assert {f.__name__ for f in REGISTRY.values()} - {f.__name__ for f in used} == set()
