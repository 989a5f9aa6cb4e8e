"""Larq's own operators.

A packed word has 32 channels, least significant bit first; bit 1 is -1, bit 0 is +1 (0 and -0.0 too). A binary
convolution counts the unequal bits p and has K - 2p = the sum of products acc, K = taps * channels of a group.

- Float output: activation on the integer acc, then one multiplication and one addition. The engine computes
  `(2p) * (-m) + (K*m + b)`, the factors rounded to float32, which rounds otherwise than `acc*m + b`. The import keeps
  that order: floats are equal to the last bit (release 0.16), but for pixels beside zero padding, whose correction the
  engine adds afterwards.
- Packed output: the bit is 1 (-1) where p > t. That is acc < K - 2t, so +1 where acc >= K - 2t.

The early form (2020, before LceQuantize existed) has a float input whose sign the convolution takes itself,
computes `acc*m + b`, and stores paddings as TensorFlow Lite's C enumeration (1 same, 2 valid) instead of the schema's
(0 same, 1 valid). Where the number alone leaves the question open, the declared output size answers it; where both
answers give that size, they are the same convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.compiler.dialect import BinaryConvAttrs, pack_bits, packed_bytes

from ..imported import Finding
from .reader import Operator
from .registry import SAME, VALID, Context, clip, converts, same_pads
from .tensors import Bits

_OPTIONS = (
    "channels_in",
    "stride_height",
    "stride_width",
    "dilation_height_factor",
    "dilation_width_factor",
    "padding",
)
_ACTIVATIONS = {0: "", 1: "relu", 2: "relu_n1_to_1", 3: "relu6"}
_CLAMPS = {1: (0.0, math.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


def _need(ctx: Context, op: Operator, *names: str) -> list[int]:
    missing = [n for n in names if n not in op.options]
    if missing:
        raise ctx.tensors.fail(op, f"its options lack {', '.join(missing)}; they have {sorted(op.options)}")
    return [op.options[n] for n in names]


def _padding(ctx: Context, op: Operator, number: int, kernel: list[int], stride: list[int], dilation: list[int]) -> int:
    """SAME or VALID, checked against the declared output size."""
    size, wanted = ctx.tensors.shape(op)[1:3], ctx.tensors.out(op).shape[1:3]
    if min(*kernel, *stride, *dilation) < 1 or max(*kernel, *stride, *dilation) > 1 << 16:
        raise ctx.tensors.fail(op, f"kernel {kernel}, stride {stride}, dilation {dilation}")
    sizes = {SAME: tuple(-(-n // s) for n, s in zip(size, stride, strict=True))}
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    sizes[VALID] = tuple((n - e) // s + 1 for n, e, s in zip(size, extents, stride, strict=True))
    meanings = {0: (SAME,), 1: (SAME, VALID) if ctx.early else (VALID,), 2: (VALID,) if ctx.early else ()}
    for padding in meanings.get(number, ()):
        if sizes[padding] == wanted:
            return padding
    raise ctx.tensors.fail(
        op,
        f"its padding is {number}, which does not lead from {list(size)} to {list(wanted)} pixels with "
        f"kernel {kernel}, stride {stride}, dilation {dilation} "
        f"(same gives {list(sizes[SAME])}, valid {list(sizes[VALID])})",
    )


@dataclass(frozen=True)
class _Filter:
    words: NDArray[np.uint8]  # the dialect's packing [O, taps, bytes]
    kernel: list[int]
    groups: int
    channels: int  # of a group

    @property
    def products(self) -> int:
        return self.kernel[0] * self.kernel[1] * self.channels


def _filter(ctx: Context, op: Operator, channels: int) -> _Filter:
    """The packed filter [O, kh, kw, words] (int32), or float weights [O, kh, kw, C], of which only signs count."""
    data = ctx.tensors.const(op, 1, "filter")
    if data.ndim != 4 or 0 in data.shape:
        raise ctx.tensors.fail(op, f"its filter has the shape {list(data.shape)}, not [outputs, height, width, words]")
    outputs, height, width, last = data.shape
    if data.dtype == np.float32:
        groups, rest = divmod(channels, last)
        if rest:
            raise ctx.tensors.fail(op, f"its filter reads {last} of {channels} channels: no whole groups")
        return _Filter(pack_bits(~(data < 0)).reshape(outputs, height * width, -1), [height, width], groups, last)
    if data.dtype not in (np.int32, np.uint32):
        raise ctx.tensors.fail(op, f"its filter is {data.dtype}; packed int32 or float32 is needed")
    whole = -(-channels // 32)
    groups = 1 if last == whole else channels // (32 * last)
    if last != whole and groups * 32 * last != channels:
        raise ctx.tensors.fail(op, f"its filter has {last} words of 32 bits, which do not divide {channels} channels")
    if outputs % groups:
        raise ctx.tensors.fail(op, f"its {outputs} outputs do not divide into {groups} groups")
    per_group = channels // groups
    mask = np.full(last, 0xFFFFFFFF, np.uint32)
    if per_group % 32:
        mask[-1] = (1 << per_group % 32) - 1
    words = (~np.ascontiguousarray(data).view(np.uint32) & mask).astype("<u4")
    packed = words.view(np.uint8).reshape(outputs, height * width, packed_bytes(per_group))
    return _Filter(packed, [height, width], groups, per_group)


@converts("LceQuantize")
def quantize(ctx: Context, op: Operator) -> None:
    """The signs of a tensor; the layers that read it take them with their own threshold of 0."""
    bits = ctx.tensors.bits(op, 0)
    ctx.tensors.put_bits(op, Bits(bits.source, bits.threshold, bits.channels, bits.rank))


@converts("LceDequantize")
def dequantize(ctx: Context, op: Operator) -> None:
    """±1 as floats; as int8 they are the levels nearest to ±1."""
    bits, out = ctx.tensors.bits(op, 0), ctx.tensors.out(op)
    if not out.shape or out.shape[-1] != bits.channels:
        raise ctx.tensors.fail(op, f"its output has the shape {list(out.shape)}, its input {bits.channels} channels")
    signs = ctx.tensors.signs(bits, ctx.tensors.title(op))
    ctx.tensors.put(op, signs, first=bits.rank == 4)
    ctx.findings.append(Finding(ctx.tensors.title(op), "LceDequantize", f"±1 of {bits.channels} channels"))


@converts("LceBMaxPool2d")
def max_pool(ctx: Context, op: Operator) -> None:
    """The maximum of ±1; padding never wins."""
    height, width, down, right, padding = _need(
        ctx, op, "filter_height", "filter_width", "stride_height", "stride_width", "padding"
    )
    bits = ctx.tensors.bits(op, 0)
    if bits.rank != 4:
        raise ctx.tensors.fail(op, f"its input has {bits.rank} axes, a map has 4")
    kernel, stride = [height, width], [down, right]
    kind = _padding(ctx, op, padding, kernel, stride, [1, 1])
    pads = [0] * 4 if kind == VALID else same_pads(ctx.tensors.shape(op)[1:3], kernel, stride, [1, 1])
    name = ctx.tensors.title(op)
    signs = ctx.tensors.signs(bits)
    pooled = ctx.build.node("MaxPool", [signs], name=name, kernel_shape=kernel, strides=stride, pads=pads)
    ctx.tensors.put_bits(op, Bits(pooled, np.zeros(1, np.float32), bits.channels, 4, signs=pooled))
    what = f"LceBMaxPool2d {height}x{width}, stride {down}, padding {'valid' if kind == VALID else 'same'}"
    ctx.findings.append(Finding(name, what, "MaxPool of ±1"))


@converts("LceBconv2d")
def conv(ctx: Context, op: Operator) -> None:
    """BinaryConv, then activation, multiplier and bias; or a threshold for whoever reads the packed output."""
    tensors, build = ctx.tensors, ctx.build
    names = (
        "channels_in",
        "stride_height",
        "stride_width",
        "dilation_height_factor",
        "dilation_width_factor",
        "padding",
    )
    channels, down, right, tall, wide, padding = _need(ctx, op, *names)
    fused, pad_value = op.options.get("fused_activation_function", 0), op.options.get("pad_values", 0)
    bits = tensors.bits(op, 0)
    if bits.rank != 4 or bits.channels != channels:
        raise tensors.fail(op, f"its input has {bits.rank} axes, {bits.channels} channels; its options say {channels}")
    if fused not in _ACTIVATIONS:
        raise tensors.fail(op, f"its fused activation is {fused}; known are {_ACTIVATIONS}")
    if pad_value not in (0, 1):
        raise tensors.fail(op, f"pad_values is {pad_value}; 0 and 1 are known")
    weight = _filter(ctx, op, channels)
    stride, dilation = [down, right], [tall, wide]
    kind = _padding(ctx, op, padding, weight.kernel, stride, dilation)
    pads = [0] * 4 if kind == VALID else same_pads(tensors.shape(op)[1:3], weight.kernel, stride, dilation)
    outputs = weight.words.shape[0]
    attrs = BinaryConvAttrs(
        kernel_shape=tuple(weight.kernel),
        strides=tuple(stride),
        dilations=tuple(dilation),
        pads=tuple(pads),
        group=weight.groups,
        channels=weight.channels,
        low=-1.0,
        pad_mode="constant",
        pad_value=float(pad_value if any(pads) else 0),
    )
    name = tensors.title(op)
    packed = tensors.out(op).dtype == np.int32 and tensors.out(op).quantization is None
    scale, bias = _scale_and_bias(ctx, op, outputs, weight.products, bool(fused), packed)
    inputs = [
        bits.source,
        build.constant(weight.words, f"{name}.weight"),
        build.constant(bits.threshold, "threshold"),
        build.constant(scale, "scale"),
        build.constant(bias, "bias"),
    ]
    y = build.dialect(attrs, inputs, name=name)
    if packed:
        _packed_output(ctx, op, y, outputs, weight.products)
    else:
        _float_output(ctx, op, y, fused, outputs, weight.products)
    padding_words = "valid" if kind == VALID else f"same-{'one' if pad_value else 'zero'}"
    what = f"LceBconv2d{' (early form: float input)' if ctx.early else ''}, {padding_words}"
    what += f", {_ACTIVATIONS[fused]}" if fused else ""
    what += ", packed output" if packed else ""
    became = f"BinaryConv {weight.kernel[0]}x{weight.kernel[1]}, {channels} -> {outputs}"
    became += f", stride {down}" if down == right and down > 1 else f", stride {stride}" if down != right else ""
    became += f", {weight.groups} groups" if weight.groups > 1 else ""
    ctx.findings.append(Finding(name, what, became))


def _scale_and_bias(
    ctx: Context, op: Operator, outputs: int, products: int, fused: bool, packed: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of the BinaryConv itself: what can go into it without another order of float operations."""
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    if packed:
        return _spread(one, outputs), _spread(zero, outputs)
    if not ctx.early:
        return _spread(one, outputs), _spread(np.array([-products], np.float32), outputs)  # acc - K = -2p
    if fused:
        return _spread(one, outputs), _spread(zero, outputs)
    return _post(ctx, op, 2, "multiplier", outputs), _post(ctx, op, 3, "bias", outputs)


def _spread(value: NDArray[np.float32], outputs: int) -> NDArray[np.float32]:
    return np.repeat(value, outputs)


def _post(ctx: Context, op: Operator, i: int, what: str, outputs: int) -> NDArray[np.float32]:
    data = ctx.tensors.real_const(op, i, what).reshape(-1)
    if data.size != outputs:
        raise ctx.tensors.fail(op, f"its {what} has {data.size} elements for {outputs} output channels")
    return data


def _float_output(ctx: Context, op: Operator, y: str, fused: int, outputs: int, products: int) -> None:
    build = ctx.build
    multiplier, bias = (_post(ctx, op, i, w, outputs) for i, w in ((2, "multiplier"), (3, "bias")))
    shift = 0 if ctx.early else products
    if fused:
        low, high = _CLAMPS[fused]
        high = min(high, float(products))  # acc is not larger
        y = clip(build, y, low - shift, high - shift)
    if fused or not ctx.early:
        if not ctx.early:
            bias = (products * multiplier.astype(np.float64) + bias).astype(np.float32)
        y = build.node("Mul", [y, build.constant(multiplier.reshape(-1, 1, 1), "multiplier")])
        y = build.node("Add", [y, build.constant(bias.reshape(-1, 1, 1), "bias")])
    ctx.tensors.put(op, y, first=True)


def _packed_output(ctx: Context, op: Operator, y: str, outputs: int, products: int) -> None:
    thresholds = ctx.tensors.const(op, 4, "thresholds").reshape(-1)
    if thresholds.dtype != np.int32 or thresholds.size != outputs:
        raise ctx.tensors.fail(
            op, f"its thresholds are {thresholds.size} of {thresholds.dtype} for {outputs} output channels"
        )
    reachable = np.clip(thresholds.astype(np.int64), -1, products)  # p is 0 to K: beyond, the bit is constant
    level = (products - 2 * reachable).astype(np.float32)
    ctx.tensors.put_bits(op, Bits(y, level, outputs, 4))
