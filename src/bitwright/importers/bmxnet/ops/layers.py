"""Float layers: Convolution, Deconvolution, FullyConnected, BatchNorm."""

from __future__ import annotations

import numpy as np

from ..call import Call, converts
from ..unsupported import Unsupported

Sizes = tuple[int, ...]
_CHANNELS_FIRST = {1: "NCW", 2: "NCHW", 3: "NCDHW"}


def conv_geometry(call: Call) -> tuple[Sizes, Sizes, Sizes, Sizes, int, int]:
    """(kernel, strides, dilations, pads on each side, groups, filters) of a convolution."""
    kernel = call.attrs.integers("kernel")
    rank = len(kernel)
    if rank not in _CHANNELS_FIRST or min(kernel) < 1:
        raise Unsupported(f"its kernel is {kernel}; it must have 1, 2 or 3 sizes from 1")
    layout = call.attrs.text("layout", _CHANNELS_FIRST[rank])
    if layout != _CHANNELS_FIRST[rank]:
        raise Unsupported(f"its layout is {layout}; only {_CHANNELS_FIRST[rank]} can be imported")
    strides = call.attrs.sizes("stride", rank, 1, 1)
    dilations = call.attrs.sizes("dilate", rank, 1, 1)
    pads = call.attrs.sizes("pad", rank, 0, 0)
    group = call.attrs.integer("num_group", 1, 1)
    return kernel, strides, dilations, pads, group, call.attrs.integer("num_filter", None, 1)


def add_bias(call: Call, tensor: str, i: int, outputs: int, rank: int) -> str:
    """Adds input i, a bias per channel, to [N, C, rank axes]."""
    bias = call.vector(i, "bias", outputs).reshape(outputs, *[1] * rank)
    return call.onnx("Add", [tensor, call.build.constant(bias, f"{call.name}.bias")], name=f"{call.name}.biased")


@converts("Convolution", "Convolution_v1")
def convolution(call: Call) -> str:
    """Conv."""
    x = call.tensor(0)
    kernel, strides, dilations, pads, group, filters = conv_geometry(call)
    channels, _ = call.spatial(x, len(kernel))
    weight = call.floats(call.param(1, "weight"), "weight")
    wanted = (filters, channels // group, *kernel)
    if weight.shape != wanted or channels % group:
        raise Unsupported(f"its weight has shape {list(weight.shape)}, its input and attributes ask for {list(wanted)}")
    inputs = [x, call.build.constant(weight, f"{call.name}.weight")]
    if not call.attrs.flag("no_bias", False):
        inputs.append(call.build.constant(call.vector(2, "bias", filters), f"{call.name}.bias"))
    return call.onnx(
        "Conv", inputs, name=call.name, kernel_shape=kernel, strides=strides, dilations=dilations, pads=pads * 2,
        group=group,
    )  # fmt: skip


@converts("Deconvolution")
def deconvolution(call: Call) -> str:
    """ConvTranspose."""
    x = call.tensor(0)
    kernel, strides, dilations, pads, group, filters = conv_geometry(call)
    rank = len(kernel)
    channels, _ = call.spatial(x, rank)
    if any(call.attrs.integers("target_shape", ())):
        raise Unsupported("its target_shape computes the padding; give pad and adj")
    adj = call.attrs.sizes("adj", rank, 0, 0)
    if filters % group:
        raise Unsupported(f"its {filters} filters are no multiple of {group} groups")
    weight = call.floats(call.param(1, "weight"), "weight")
    wanted = (channels, filters // group, *kernel)
    if weight.shape != wanted:
        raise Unsupported(f"its weight has shape {list(weight.shape)}, its input and attributes ask for {list(wanted)}")
    inputs = [x, call.build.constant(weight, f"{call.name}.weight")]
    if not call.attrs.flag("no_bias", True):
        inputs.append(call.build.constant(call.vector(2, "bias", filters), f"{call.name}.bias"))
    return call.onnx(
        "ConvTranspose", inputs, name=call.name, kernel_shape=kernel, strides=strides, dilations=dilations,
        pads=pads * 2, group=group, output_padding=adj,
    )  # fmt: skip


@converts("FullyConnected")
def fully_connected(call: Call) -> str:
    """Gemm on the flattened sample, or MatMul on the last axis (flatten=False)."""
    x = call.tensor(0)
    if call.attrs.flag("flatten", True):
        x = call.flat(x)
    features = call.sample(x)[-1]
    outputs = call.attrs.integer("num_hidden", None, 1)
    weight = call.floats(call.param(1, "weight"), "weight")
    if weight.shape != (outputs, features):
        wanted = [outputs, features]
        raise Unsupported(f"its weight has shape {list(weight.shape)}, its input and num_hidden ask for {wanted}")
    bias = not call.attrs.flag("no_bias", False)
    shift = [call.build.constant(call.vector(2, "bias", outputs), f"{call.name}.bias")] if bias else []
    if len(call.sample(x)) == 1:
        w = call.build.constant(weight, f"{call.name}.weight")
        return call.onnx("Gemm", [x, w, *shift], name=call.name, transB=1)
    y = call.onnx("MatMul", [x, call.build.constant(weight.T, f"{call.name}.weight")], name=f"{call.name}.matmul")
    return call.onnx("Add", [y, *shift], name=call.name) if bias else y


@converts("BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm")
def batch_norm(call: Call) -> str:
    """BatchNormalization; `fix_gamma` (the default) means gamma = 1 whatever the file stores."""
    x = call.tensor(0)
    sample = call.sample(x)
    axis = call.attrs.integer("axis", 1)
    if (axis if axis >= 0 else axis + len(sample) + 1) != 1:
        raise Unsupported(f"its axis is {axis}; only 1, the channels, can be imported")
    channels = sample[0]
    gamma, beta = call.vector(1, "gamma", channels), call.vector(2, "beta", channels)
    mean, variance = call.vector(3, "moving_mean", channels), call.vector(4, "moving_var", channels)
    if call.attrs.flag("fix_gamma", True):
        gamma = np.ones(channels, np.float32)
    eps = call.attrs.number("eps", 1e-3)
    if np.any(variance + np.float32(eps) <= 0):
        raise Unsupported(f"its moving_var + eps has values <= 0 (eps is {eps:g})")
    names = [call.build.constant(v, f"{call.name}.{t}") for t, v in
             (("gamma", gamma), ("beta", beta), ("mean", mean), ("var", variance))]  # fmt: skip
    return call.onnx("BatchNormalization", [x, *names], name=call.name, epsilon=eps)
