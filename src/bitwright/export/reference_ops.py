"""The packed operators in plain torch: unpack the bits, convolve floats. Exact, slow, for every device.

The sums of ±1 products are integers far below 2^24, so float32 holds them exactly; they are rounded because a backend
may choose an algorithm with inexact steps (Winograd). Weights are packed as in docs/dialect.md; `attrs` are the
attributes of the dialect's node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from bitwright.compiler.dialect import (
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryEmbeddingAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
    UnpackWeightAttrs,
)
from bitwright.export.bits import exchange_channels, unpack_filters, unpack_rows

if TYPE_CHECKING:
    from bitwright.export.half_linear import HalfLinearAttrs

_CONV = (F.conv1d, F.conv2d, F.conv3d)
_CONV_TRANSPOSE = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


def binarize(x: Tensor, threshold: Tensor, low: float, channel_axis: int) -> Tensor:
    """`x >= threshold` (NaN: no) as 1 or `low`, float32; `threshold` runs along `channel_axis`."""
    shape = [1] * x.ndim
    shape[channel_axis] = -1
    upper = torch.ones((), dtype=torch.float32, device=x.device)
    return torch.where(x >= threshold.view(shape), upper, low)


def signs(bits: Tensor) -> Tensor:
    """bool to float32 ±1."""
    return bits.to(torch.float32) * 2 - 1


def affine(accumulator: Tensor, scale: Tensor, bias: Tensor, channel_axis: int) -> Tensor:
    """`scale * accumulator + bias` per output channel, two rounded float32 operations."""
    shape = [1] * accumulator.ndim
    shape[channel_axis] = -1
    return accumulator * scale.view(shape) + bias.view(shape)


def levels(x: Tensor, gain: Tensor, offset: Tensor, bits: int, channel_axis: int) -> Tensor:
    """`rint(x * gain + offset)` cut to 0 ... 2^bits - 1 (NaN: 0), float32; the vectors run along `channel_axis`."""
    shape = [1] * x.ndim
    shape[channel_axis] = -1
    scaled = x * gain.view(shape) + offset.view(shape)
    return torch.round(torch.nan_to_num(scaled, nan=0.0)).clamp(0, (1 << bits) - 1)


def conv_accumulator(x: Tensor, weight: Tensor, threshold: Tensor, attrs: BinaryConvAttrs) -> Tensor:
    """Integer accumulators (as float32) of a binary convolution: x `[N, C, *S]` to `[N, O, *S']`."""
    return _convolve(binarize(x, threshold, attrs.low, 1), weight, attrs, attrs.pad_value)


def _convolve(activation: Tensor, weight: Tensor, attrs: BinaryConvAttrs | LevelConvAttrs, pad_value: float) -> Tensor:
    widths = [w for pair in zip(reversed(attrs.pad_begin), reversed(attrs.pad_end), strict=True) for w in pair]
    if any(widths):
        if attrs.pad_mode == "edge":
            activation = F.pad(activation, widths, mode="replicate")
        else:
            activation = F.pad(activation, widths, value=pad_value)
    real = signs(unpack_filters(weight, (weight.shape[0], attrs.channels, *attrs.kernel_shape)))
    with torch.autocast(activation.device.type, enabled=False):
        conv = _CONV[attrs.rank - 1]
        sums = conv(activation, real, None, stride=attrs.strides, dilation=attrs.dilations, groups=attrs.group)
    return sums.round()


def binary_conv(
    x: Tensor, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryConvAttrs
) -> Tensor:
    """`bitwright::binary_conv`: x `[N, C, *S]` to `[N, O, *S']`."""
    return affine(conv_accumulator(x, weight, threshold, attrs), scale, bias, 1).contiguous()


def level_conv(
    x: Tensor, weight: Tensor, gain: Tensor, offset: Tensor, scale: Tensor, bias: Tensor, attrs: LevelConvAttrs
) -> Tensor:
    """`bitwright::level_conv`: x `[N, C, *S]` to `[N, O, *S']`."""
    sums = _convolve(levels(x, gain, offset, attrs.bits, 1), weight, attrs, 0.0)
    return affine(sums, scale, bias, 1).contiguous()


def level_linear(
    x: Tensor, weight: Tensor, gain: Tensor, offset: Tensor, scale: Tensor, bias: Tensor, attrs: LevelLinearAttrs
) -> Tensor:
    """`bitwright::level_linear`: x `[..., F]` to `[..., O]`."""
    activation = levels(x, gain, offset, attrs.bits, x.ndim - 1)
    with torch.autocast(x.device.type, enabled=False):
        sums = F.linear(activation, signs(unpack_rows(weight, attrs.channels))).round()
    return affine(sums, scale, bias, x.ndim - 1).contiguous()


def conv_transpose_accumulator(x: Tensor, weight: Tensor, threshold: Tensor, attrs: BinaryConvTransposeAttrs) -> Tensor:
    """Integer accumulators (as float32) of a transposed binary convolution: x `[N, C, *S]` to `[N, O, *S']`."""
    activation = binarize(x, threshold, attrs.low, 1)
    rows = signs(unpack_filters(weight, (weight.shape[0], attrs.channels, *attrs.kernel_shape)))
    real = exchange_channels(rows, attrs.group)
    with torch.autocast(x.device.type, enabled=False):
        conv = _CONV_TRANSPOSE[attrs.rank - 1]
        full = conv(activation, real, None, stride=attrs.strides, groups=attrs.group, dilation=attrs.dilations)
    # Crop or extend the full output at each end. Positions that no tap reaches are 0.
    ends = zip(reversed(attrs.pad_begin), reversed(attrs.pad_end), reversed(attrs.output_padding), strict=True)
    widths = [width for begin, end, extra in ends for width in (-begin, extra - end)]
    return F.pad(full, widths).round()


def binary_conv_transpose(
    x: Tensor, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryConvTransposeAttrs
) -> Tensor:
    """`bitwright::binary_conv_transpose`: x `[N, C, *S]` to `[N, O, *S']`."""
    return affine(conv_transpose_accumulator(x, weight, threshold, attrs), scale, bias, 1).contiguous()


def linear_accumulator(x: Tensor, weight: Tensor, threshold: Tensor, attrs: BinaryLinearAttrs) -> Tensor:
    """Integer accumulators (as float32) of a binary linear layer: x `[..., F]` to `[..., O]`."""
    activation = binarize(x, threshold, attrs.low, x.ndim - 1)
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(activation, signs(unpack_rows(weight, attrs.channels))).round()


def binary_linear(
    x: Tensor, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryLinearAttrs
) -> Tensor:
    """`bitwright::binary_linear`: x `[..., F]` to `[..., O]`."""
    return affine(linear_accumulator(x, weight, threshold, attrs), scale, bias, x.ndim - 1).contiguous()


def half_linear(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, attrs: HalfLinearAttrs) -> Tensor:
    """`bitwright::half_linear`: x `[..., F]` of 16-bit floats to `[..., O]`, summed in float32, rounded once."""
    with torch.autocast(x.device.type, enabled=False):
        sums = F.linear(x.float(), signs(unpack_rows(weight, attrs.channels)))
    return affine(sums, scale, bias, x.ndim - 1).to(x.dtype).contiguous()


def binary_embedding(ids: Tensor, weight: Tensor, scale: Tensor, attrs: BinaryEmbeddingAttrs) -> Tensor:
    """`bitwright::binary_embedding`: ids int64 `[...]` to float32 `[..., channels]` = scale[id] * (±1 row).

    Raises:
        IndexError: an id outside [0, V).
    """
    wanted = ids.reshape(-1)
    rows = signs(unpack_rows(weight.index_select(0, wanted), attrs.channels))
    scaled = rows * scale.expand(weight.shape[0]).index_select(0, wanted).unsqueeze(-1)
    return scaled.reshape(*ids.shape, attrs.channels)


def unpack_weight(weight: Tensor, attrs: UnpackWeightAttrs) -> Tensor:
    """`bitwright::unpack_weight`: packed rows to float32 ±1 of shape `shape` = (R, channels, *kernel)."""
    # not contiguous(): it keeps odd strides of axes of length 1, with which a convolution sums in another order
    return signs(unpack_filters(weight, attrs.shape)).flatten().view(attrs.shape)
