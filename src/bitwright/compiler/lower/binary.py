"""Binary layers of the `ai.bitwright` dialect (docs/dialect.md)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..errors import Unsupported
from ..fold import Known
from ..graph import DIALECT, Node
from ..packing import pack_bits, unpack_bits, words_from_bytes
from ..program import BConv, Const, Dims3, DType, Embed, Geometry, PadMode, Step
from ..view import C, View, map_axes, per_channel, spatial_dims
from .binarize import binarize, level, quantize
from .context import Context, affine, lowers
from .window import Window, conv_window, dims3, place, transposed_out

U32 = npt.NDArray[np.uint32]


def _level(node: Node) -> int:
    return 0 if level(node) == -1.0 else 1


def _words(ctx: Context, node: Node, channels: int, shape: tuple[int, ...] | None) -> U32:
    """The packed weights (input 1) as words; `shape` without the byte axis, None for any."""
    try:
        words = words_from_bytes(ctx.const(node, 1, "weight"), channels, f"its weight {node.input(1)!r}")
    except ValueError as error:
        raise Unsupported(f"{error}.") from error
    if shape is not None and words.shape[:-1] != shape:
        raise Unsupported(
            f"its weight {node.input(1)!r} has shape {list(words.shape[:-1])} + [bytes], not {list(shape)}."
        )
    return words


def _epilogue(ctx: Context, node: Node, outputs: int) -> list[Step]:
    """scale and bias, the last two inputs."""
    first = len(node.inputs) - 2
    scale = ctx.floats(node, first, "scale").reshape(-1)
    bias = ctx.floats(node, first + 1, "bias").reshape(-1)
    for name, data in (("scale", scale), ("bias", bias)):
        if data.size not in (1, outputs):
            raise Unsupported(f"its {name} has {data.size} elements for {outputs} output channels.")
    return affine(np.broadcast_to(scale, outputs), np.broadcast_to(bias, outputs))


def _vector(ctx: Context, node: Node, features: int, index: int, name: str) -> npt.NDArray[np.float32]:
    data = ctx.floats(node, index, name).reshape(-1)
    if data.size not in (1, features):
        raise Unsupported(f"its {name} has {data.size} elements for {features} input channels.")
    return data


def _pad_mode(window: Window, low: int, mode: str, value: float) -> PadMode:
    if not window.padded:
        return PadMode.ZERO
    if mode == "edge":
        return PadMode.EDGE
    if mode != "constant":
        raise Unsupported(f"pad_mode {mode!r} is unknown.", "It is 'constant' or 'edge'.")
    modes = {0.0: PadMode.ZERO, 1.0: PadMode.ONE, -1.0: PadMode.MINUS_ONE}
    if value not in modes:
        raise Unsupported(f"pad_value {value:g} is none of -1, 0 and 1.")
    if low == 1 and value == -1.0:
        raise Unsupported("pad_value -1 with activations of {0, 1}.", "Use 0 or 1.")
    return modes[value]


def _merge_pad(view: View, window: Window, threshold: npt.NDArray[np.float32], low: int) -> tuple[Window, str, float]:
    """Takes a pending Pad of the float map over: its elements become bits like all others."""
    pad = view.pad
    assert pad is not None
    merged = window.with_pad(pad.begin, pad.end)
    if pad.edge:
        return merged, "edge", 0.0
    ones = np.float32(pad.value) >= threshold
    if not (ones.all() or not ones.any()):
        raise Unsupported(
            f"it follows a Pad with the value {pad.value:g}, which is 1 in some channels and 0 in others.",
            "Let the binary layer itself pad (pad_value).",
        )
    if ones.all():
        return merged, "constant", 1.0
    return merged, "constant", 0.0 if low else -1.0


@lowers("LevelConv", domain=DIALECT)
def level_conv(ctx: Context, node: Node) -> None:
    """LevelConv -> MAP(STORE_LEVELS), BCONV of bit planes."""
    view = ctx.view(node, pad=True)
    spatial = spatial_dims(view, view.rank - 2)
    group, channels = int(node.attrs["group"]), int(node.attrs["channels"])
    if channels * group != view.value.channels:
        raise Unsupported(
            f"its input has {view.value.channels} channels, its weight is for {group} groups of {channels}."
        )
    kernel = [int(k) for k in node.attrs["kernel_shape"]]
    words = _words(ctx, node, channels, None)
    outputs = words.shape[0]
    if words.ndim != 3 or words.shape[1] != math.prod(kernel) or outputs % group:
        raise Unsupported(f"its weight has shape {list(words.shape[:2])} for kernel {kernel} and {group} groups.")
    gain = _vector(ctx, node, view.value.channels, 2, "gain")
    offset = _vector(ctx, node, view.value.channels, 3, "offset")
    if view.pad is not None:
        view = ctx.unpadded(view)
    window = conv_window(node, spatial, kernel)
    geometry = window.geometry(group, _pad_mode(window, 1, str(node.attrs["pad_mode"]), 0.0))
    out = geometry.out(view.value.spatial)
    if min(out) < 1:
        raise Unsupported(f"its kernel does not fit into its input {['N', *view.shape]}.")
    bits = quantize(ctx, view, gain, offset, int(node.attrs["bits"]), group, node)
    weight = place(words.reshape(outputs, *kernel, -1), spatial, 1)
    store, result = ctx.store((*out, outputs), map_axes(spatial), node)
    steps = [*_epilogue(ctx, node, outputs), store]
    op = BConv(node.name, bits, steps, [], node.module, Const(weight.reshape(-1)), outputs, 1, out, geometry)
    ctx.emit(op, node)
    ctx.result(node, result)


@lowers("BinaryConv", "BinaryConvTranspose", domain=DIALECT)
def binary_conv(ctx: Context, node: Node) -> None:
    """BinaryConv, BinaryConvTranspose -> MAP(STORE_BITS), BCONV."""
    transposed = node.op == "BinaryConvTranspose"
    view = ctx.view(node, pad=True)
    spatial = spatial_dims(view, view.rank - 2)
    group = int(node.attrs.get("group", 1))
    channels = int(node.attrs["channels"])
    if channels * group != view.value.channels:
        raise Unsupported(
            f"its input has {view.value.channels} channels, its weight is for {group} groups of {channels}."
        )
    kernel = [int(k) for k in node.attrs["kernel_shape"]]
    words = _words(ctx, node, channels, None)
    outputs = words.shape[0]
    if words.ndim != 3 or words.shape[1] != math.prod(kernel) or outputs % group:
        raise Unsupported(f"its weight has shape {list(words.shape[:2])} for kernel {kernel} and {group} groups.")
    low = _level(node)
    threshold = _vector(ctx, node, view.value.channels, 2, "threshold")
    window = conv_window(node, spatial, kernel)
    mode, pad_value = str(node.attrs.get("pad_mode", "constant")), float(node.attrs.get("pad_value", 0.0))
    if view.pad is not None:
        if window.padded or transposed:
            view = ctx.unpadded(view)
        else:
            window, mode, pad_value = _merge_pad(view, window, threshold, low)
    size = view.value.spatial
    geometry = window.geometry(group, _pad_mode(window, low, mode, pad_value) if not transposed else PadMode.ZERO)
    if transposed:
        out, geometry = transposed_out(node, geometry, spatial, size)
    else:
        out = geometry.out(size)
    if min(out) < 1:
        raise Unsupported(f"its kernel does not fit into its input {['N', *view.shape]}.")
    depthwise = channels == 1 and group > 1
    bits = binarize(ctx, replace(view, pad=None), threshold, 1 if depthwise else group, node)
    weight = place(words.reshape(outputs, *kernel, -1), spatial, 1)
    if depthwise:
        weight = depthwise_rows(weight, group)
    store, result = ctx.store((*out, outputs), map_axes(spatial), node)
    steps = [*_epilogue(ctx, node, outputs), store]
    op = BConv(node.name, bits, steps, [], node.module, Const(weight.reshape(-1)), outputs, low, out, geometry)
    ctx.emit(op, node)
    ctx.result(node, result)


def depthwise_rows(weight: U32, channels: int) -> U32:
    """Weights `[O, *kernel, 1]` of a bit a word as `[O/C, taps, words]`: bit c of row j is that of output c*O/C + j."""
    ones = (weight.reshape(channels, weight.shape[0] // channels, -1) & 1).astype(bool)
    return pack_bits(ones.transpose(1, 2, 0))


@lowers("BinaryLinear", "LevelLinear", domain=DIALECT)
def binary_linear(ctx: Context, node: Node) -> None:
    """BinaryLinear, LevelLinear -> MAP(STORE_BITS or STORE_LEVELS), BCONV with a kernel that covers the features."""
    view = ctx.view(node)
    features = int(node.attrs["channels"])
    if not view.shape or view.shape[-1] != features:
        raise Unsupported(f"its input {['N', *view.shape]} does not end in {features} features.")
    levels = node.op == "LevelLinear"
    names = ("gain", "offset") if levels else ("threshold",)
    vectors = [_vector(ctx, node, features, 2 + i, name) for i, name in enumerate(names)]
    if any(per_channel(view, vector) is None for vector in vectors):
        view = ctx.reordered(view)
    flat = [found for vector in vectors if (found := per_channel(view, vector)) is not None]
    assert len(flat) == len(vectors)
    words = _words(ctx, node, features, None)
    outputs = words.shape[0]
    if words.ndim != 2:
        raise Unsupported(f"its weight has {words.ndim} axes, not 2.")
    kernel, out, arranged = linear_layout(view, unpack_bits(words, features))
    if levels:
        bits = quantize(ctx, view, flat[0], flat[1], int(node.attrs["bits"]), 1, node)
    else:
        bits = binarize(ctx, view, flat[0], 1, node)
    low = 1 if levels else _level(node)
    store, result = ctx.store((*out, outputs), (*view.axes[:-1], (C,)), node)
    steps = [*_epilogue(ctx, node, outputs), store]
    weight = Const(pack_bits(arranged.astype(bool, copy=False)).reshape(-1))
    op = BConv(node.name, bits, steps, [], node.module, weight, outputs, low, out, Geometry(kernel=kernel))
    ctx.emit(op, node)
    ctx.result(node, result)


def linear_layout(view: View, weight: npt.NDArray[np.generic]) -> tuple[Dims3, Dims3, npt.NDArray[np.generic]]:
    """A dense layer over the last axis of `view` as a convolution: (kernel, output size, weight `[O, taps, C]`).

    `weight` is `[O, features]` in the order of the ONNX tensor.
    """
    value = view.value
    *lead, last = view.axes
    dims = [d for d in last if d != C]
    channels_inside = C in last or value.channels == 1
    if not channels_inside or any(C in axis and value.channels != 1 for axis in lead):
        raise Unsupported(
            f"it works on an axis of {['N', *view.shape]} that does not hold the channels.",
            "The engine keeps channels innermost: a dense layer must work on what the layers around it call channels.",
        )
    kernel = dims3({d: value.dims[d - 1] for d in dims}, 1)
    out = dims3({d: value.dims[d - 1] for d in (1, 2, 3) if d not in dims}, 1)
    o = weight.shape[0]
    if view.order is not None:
        arranged = np.empty_like(weight)
        arranged[:, view.order] = weight
        return kernel, out, arranged.reshape(o, 1, -1)
    cube = weight.reshape(o, *(value.dims[d - 1] for d in last))
    names = list(last)
    for d in (1, 2, 3, 4):
        if d not in names:
            cube = cube[..., None]
            names.append(d)
    cube = cube.transpose(0, *(names.index(d) + 1 for d in (1, 2, 3, 4)))
    return kernel, out, np.ascontiguousarray(cube).reshape(o, math.prod(kernel), value.channels)


@lowers("BinaryEmbedding", domain=DIALECT)
def binary_embedding(ctx: Context, node: Node) -> None:
    """BinaryEmbedding -> EMBED."""
    view = ctx.view(node)
    value = view.value
    if value.dtype is not DType.I32 or value.channels != 1:
        raise Unsupported("its ids must come straight from an integer input of the model.")
    channels = int(node.attrs["channels"])
    words = _words(ctx, node, channels, None)
    if words.ndim != 2:
        raise Unsupported(f"its weight has {words.ndim} axes, not 2.")
    rows = words.shape[0]
    scale = ctx.floats(node, 2, "scale").reshape(-1)
    if scale.size not in (1, rows):
        raise Unsupported(f"its scale has {scale.size} elements for {rows} rows.")
    per_row: Const | None = None
    steps: list[Step] = []
    if not np.all(scale == scale[0]):
        per_row = Const(scale)
    else:
        steps = affine(scale[:1], np.zeros(1, dtype=np.float32))
    store, result = ctx.store((*value.spatial, channels), (*view.axes, (C,)), node)
    weight = Const(words.reshape(-1))
    ctx.emit(Embed(node.name, value, [*steps, store], [], node.module, weight, rows, channels, per_row), node)
    ctx.result(node, result)


@lowers("UnpackWeight", domain=DIALECT)
def unpack_weight(ctx: Context, node: Node) -> None:
    """UnpackWeight of a constant -> the ±1 weights, known to the layer that reads them, which packs them again."""
    shape = [int(n) for n in node.attrs["shape"]]
    packed = ctx.const(node, 0, "weight")
    rows, channels, *kernel = shape
    try:
        words = words_from_bytes(packed, channels, f"its weight {node.input(0)!r}")
    except ValueError as error:
        raise Unsupported(f"{error}.") from error
    if words.size != rows * math.prod(kernel) * words.shape[-1]:
        raise Unsupported(f"its weight {node.input(0)!r} has shape {list(packed.shape)} for {shape}.")
    signs = np.where(unpack_bits(words, channels), np.float32(1), np.float32(-1)).reshape(rows, *kernel, channels)
    data = np.ascontiguousarray(np.moveaxis(signs, -1, 1))
    ctx.result(node, Known((data, data)))
