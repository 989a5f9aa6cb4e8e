"""Float convolutions and dense layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import Unsupported
from ..graph import Node
from ..packing import pack_bits
from ..program import Const, DType, FConv, Geometry, PadMode, Step
from ..view import C, View, map_axes, spatial_dims
from .binary import linear_layout
from .context import Context, affine, lowers
from .window import conv_window, place, transposed_out


def _need_f32(view: View) -> None:
    if view.value.dtype is not DType.F32:
        raise Unsupported("its input is an integer tensor.", "Only BinaryEmbedding reads integers.")


def weight_const(weight: npt.NDArray[Any]) -> Const:
    """A weight `[O, taps, C/groups]`: bits where all of it is ±1 (weight-only binarization), else floats."""
    if np.all(np.abs(weight) == 1):
        return Const(pack_bits(weight > 0))
    return Const(np.ascontiguousarray(weight, dtype=np.float32))


def _bias(ctx: Context, node: Node, i: int, outputs: int) -> list[Step]:
    if not node.input(i):
        return []
    bias = ctx.floats(node, i, "bias").reshape(-1)
    if bias.size not in (1, outputs):
        raise Unsupported(f"its bias has {bias.size} elements for {outputs} output channels.")
    return affine(np.ones(outputs, dtype=np.float32), np.broadcast_to(bias, outputs))


@lowers("Conv")
def conv(ctx: Context, node: Node) -> None:
    """Conv -> FCONV."""
    view = ctx.view(node, pad=True)
    _need_f32(view)
    weight = ctx.floats(node, 1, "weight")
    spatial = spatial_dims(view, weight.ndim - 2)
    group = int(node.attrs.get("group", 1))
    outputs, per_group = weight.shape[:2]
    if per_group * group != view.value.channels or outputs % group:
        raise Unsupported(
            f"its weight {list(weight.shape)} with {group} groups does not fit "
            f"an input of {view.value.channels} channels."
        )
    kernel = [int(k) for k in node.attrs.get("kernel_shape", weight.shape[2:])]
    if kernel != list(weight.shape[2:]):
        raise Unsupported(f"kernel_shape {kernel} is not that of its weight {list(weight.shape)}.")
    padded = (view.size(1), view.size(2), view.size(3))
    window = conv_window(node, spatial, kernel, padded)
    mode = PadMode.ZERO
    pad = view.pad
    if pad is not None and (window.padded if pad.edge else pad.value != 0):
        view = ctx.unpadded(view)
    elif pad is not None:
        window, mode = window.with_pad(pad.begin, pad.end), pad.mode()
        view = replace(view, pad=None)
    geometry = window.geometry(group, mode)
    out = geometry.out(view.value.spatial)
    if min(out) < 1:
        raise Unsupported(f"its kernel {kernel} does not fit into its input {['N', *view.shape]}.")
    data = np.moveaxis(place(weight, spatial, 2), 1, -1)
    store, result = ctx.store((*out, outputs), map_axes(spatial), node)
    steps = [*_bias(ctx, node, 2, outputs), store]
    ctx.emit(FConv(node.name, view.value, steps, [], node.module, weight_const(data), outputs, out, geometry), node)
    ctx.result(node, result)


@lowers("ConvTranspose")
def conv_transpose(ctx: Context, node: Node) -> None:
    """ConvTranspose -> FCONV with the transposed flag."""
    view = ctx.view(node)
    _need_f32(view)
    weight = ctx.floats(node, 1, "weight")  # [C, O/group, *kernel]
    spatial = spatial_dims(view, weight.ndim - 2)
    group = int(node.attrs.get("group", 1))
    channels, per_group = weight.shape[:2]
    if channels != view.value.channels or channels % group:
        raise Unsupported(f"its weight {list(weight.shape)} does not fit an input of {view.value.channels} channels.")
    kernel = list(weight.shape[2:])
    outputs = per_group * group
    out, geometry = transposed_out(
        node, conv_window(replace_auto(node), spatial, kernel).geometry(group), spatial, view.value.spatial
    )
    if min(out) < 1:
        raise Unsupported("its padding leaves no output.")
    # [C, O/g, k] -> [g, C/g, O/g, k] -> [O, C/g, k]
    grouped = weight.reshape(group, channels // group, per_group, *kernel).swapaxes(1, 2)
    gather = grouped.reshape(outputs, channels // group, *kernel)
    data = np.moveaxis(place(gather, spatial, 2), 1, -1)
    store, result = ctx.store((*out, outputs), map_axes(spatial), node)
    steps = [*_bias(ctx, node, 2, outputs), store]
    ctx.emit(FConv(node.name, view.value, steps, [], node.module, weight_const(data), outputs, out, geometry), node)
    ctx.result(node, result)


def replace_auto(node: Node) -> Node:
    """The node without auto_pad, which `transposed_out` checks itself."""
    return replace(node, attrs={k: v for k, v in node.attrs.items() if k != "auto_pad"})


def _dense(ctx: Context, node: Node, view: View, weight: np.ndarray, bias: list[Step]) -> None:
    """A dense layer over the last axis; weight `[O, features]`."""
    _need_f32(view)
    if not view.shape or view.shape[-1] != weight.shape[1]:
        raise Unsupported(f"its weight is for {weight.shape[1]} features, its input is {['N', *view.shape]}.")
    kernel, out, data = linear_layout(view, weight)
    outputs = weight.shape[0]
    store, result = ctx.store((*out, outputs), (*view.axes[:-1], (C,)), node)
    geometry = Geometry(kernel=kernel)
    op = FConv(node.name, view.value, [*bias, store], [], node.module, weight_const(data), outputs, out, geometry)
    ctx.emit(op, node)
    ctx.result(node, result)


@lowers("Gemm")
def gemm(ctx: Context, node: Node) -> None:
    """Gemm with a constant second matrix -> FCONV whose kernel covers the features."""
    if int(node.attrs.get("transA", 0)):
        raise Unsupported("transA is set: it would mix the samples of a batch.")
    view = ctx.view(node)
    weight = ctx.floats(node, 1, "weight")
    if weight.ndim != 2 or view.rank != 2:
        raise Unsupported(f"it multiplies {['N', *view.shape]} by {list(weight.shape)}; both must be matrices.")
    if not int(node.attrs.get("transB", 0)):
        weight = weight.T
    weight = weight * np.float32(node.attrs.get("alpha", 1.0))
    bias: list[Step] = []
    if node.input(2):
        data = ctx.floats(node, 2, "bias") * np.float32(node.attrs.get("beta", 1.0))
        if data.size not in (1, weight.shape[0]) or (data.ndim == 2 and data.shape[0] != 1):
            raise Unsupported(f"its bias has shape {list(data.shape)} for {weight.shape[0]} outputs.")
        ones = np.ones(weight.shape[0], dtype=np.float32)
        bias = affine(ones, np.broadcast_to(data.reshape(-1), ones.shape))
    _dense(ctx, node, view, weight, bias)


@lowers("MatMul")
def matmul(ctx: Context, node: Node) -> None:
    """MatMul of an activation with a constant matrix -> FCONV."""
    if ctx.is_const(node, 0) or not ctx.is_const(node, 1):
        raise Unsupported(
            "one of its operands must be an activation (first) and the other a constant matrix (second).",
            "Products of two activations (attention) are not supported yet.",
        )
    weight = ctx.floats(node, 1, "weight")
    if weight.ndim != 2:
        raise Unsupported(f"its constant has shape {list(weight.shape)}; it must be a matrix.")
    _dense(ctx, node, ctx.view(node), weight.T, [])
