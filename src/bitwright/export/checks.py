"""Checks of the packed operators' tensors, shared by their kernels and shape functions. Attributes check themselves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.compiler.dialect import (
    BinarizeAttrs,
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryEmbeddingAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
    UnpackWeightAttrs,
)
from bitwright.nn.packing import packed_bytes


class PackedOperatorError(ValueError):
    """A tensor that a packed operator cannot take."""


def conv_shape(
    x: Tensor,
    weight: Tensor,
    threshold: Tensor,
    scale: Tensor,
    bias: Tensor,
    attrs: BinaryConvAttrs | BinaryConvTransposeAttrs | LevelConvAttrs,
) -> list[int]:
    """The output's shape `[N, O, *S']`.

    Raises:
        PackedOperatorError: a tensor of a wrong dtype or shape.
    """
    rank, channels = attrs.rank, attrs.group * attrs.channels
    if x.ndim != rank + 2 or x.shape[1] != channels:
        raise PackedOperatorError(
            f"{attrs.op}: x must have shape [N, {channels}] and {rank} spatial dimensions, got {list(x.shape)}"
        )
    outputs = weight.shape[0]
    if outputs % attrs.group:
        raise PackedOperatorError(f"{attrs.op}: {outputs} output channels cannot be split into {attrs.group} groups")
    _check_floats(attrs.op, channels, outputs, x, threshold, scale, bias)
    _check_weight(attrs.op, weight, [outputs, attrs.taps, packed_bytes(attrs.channels)])
    return [x.shape[0], outputs, *attrs.output_size(x.shape[2:])]


def linear_shape(
    x: Tensor,
    weight: Tensor,
    threshold: Tensor,
    scale: Tensor,
    bias: Tensor,
    attrs: BinaryLinearAttrs | LevelLinearAttrs,
) -> list[int]:
    """The output's shape `[..., O]`.

    Raises:
        PackedOperatorError: a tensor of a wrong dtype or shape.
    """
    if x.ndim < 1 or x.shape[-1] != attrs.channels:
        raise PackedOperatorError(f"{attrs.op}: x must have shape [..., {attrs.channels}], got {list(x.shape)}")
    outputs = weight.shape[0]
    _check_floats(attrs.op, attrs.channels, outputs, x, threshold, scale, bias)
    _check_weight(attrs.op, weight, [outputs, packed_bytes(attrs.channels)])
    return [*x.shape[:-1], outputs]


def level_conv_shape(
    x: Tensor, weight: Tensor, gain: Tensor, offset: Tensor, scale: Tensor, bias: Tensor, attrs: LevelConvAttrs
) -> list[int]:
    """The output's shape `[N, O, *S']`.

    Raises:
        PackedOperatorError: a tensor of a wrong dtype or shape.
    """
    _check_level_vector(attrs.op, "offset", offset, attrs.group * attrs.channels)
    return conv_shape(x, weight, gain, scale, bias, attrs)


def level_linear_shape(
    x: Tensor, weight: Tensor, gain: Tensor, offset: Tensor, scale: Tensor, bias: Tensor, attrs: LevelLinearAttrs
) -> list[int]:
    """The output's shape `[..., O]`.

    Raises:
        PackedOperatorError: a tensor of a wrong dtype or shape.
    """
    _check_level_vector(attrs.op, "offset", offset, attrs.channels)
    return linear_shape(x, weight, gain, scale, bias, attrs)


def embedding_shape(ids: Tensor, weight: Tensor, scale: Tensor, attrs: BinaryEmbeddingAttrs) -> list[int]:
    """The output's shape `[..., channels]`.

    Raises:
        PackedOperatorError: a tensor of a wrong dtype or shape.
    """
    if ids.dtype != torch.int64:
        raise PackedOperatorError(f"{attrs.op}: ids must be int64, got {ids.dtype}")
    entries = weight.shape[0]
    _check_weight(attrs.op, weight, [entries, packed_bytes(attrs.channels)])
    if scale.dtype != torch.float32 or tuple(scale.shape) not in ((1,), (entries,)):
        raise PackedOperatorError(
            f"{attrs.op}: scale must be float32 [{entries}] or [1], got {scale.dtype} {list(scale.shape)}"
        )
    return [*ids.shape, attrs.channels]


def binarize_shape(x: Tensor, threshold: Tensor, attrs: BinarizeAttrs) -> list[int]:
    """The output's shape, that of x.

    Raises:
        PackedOperatorError: a tensor of a wrong dtype or shape, or an axis that x does not have.
    """
    for name, value in (("x", x), ("threshold", threshold)):
        if value.dtype != torch.float32:
            raise PackedOperatorError(f"{attrs.op}: {name} must be float32, got {value.dtype}")
    axis = attrs.axis + (x.ndim if attrs.axis < 0 else 0)
    if not 0 <= axis < x.ndim:
        raise PackedOperatorError(f"{attrs.op}: x of shape {list(x.shape)} has no axis {attrs.axis}")
    channels = x.shape[axis]
    if threshold.ndim != 1 or (threshold.shape[0] != 1 and threshold.shape[0] != channels):
        raise PackedOperatorError(
            f"{attrs.op}: threshold must have shape [{channels}] or [1], got {list(threshold.shape)}"
        )
    return list(x.shape)


def unpack_shape(weight: Tensor, attrs: UnpackWeightAttrs) -> list[int]:
    """The output's shape, `attrs.shape`.

    Raises:
        PackedOperatorError: `weight` is not its packed form.
    """
    rows, channels, *kernel = attrs.shape
    taps = [math.prod(kernel)] if kernel else []
    _check_weight(attrs.op, weight, [rows, *taps, packed_bytes(channels)])
    return list(attrs.shape)


def _check_floats(
    op: str, channels: int, outputs: int, x: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor
) -> None:
    vector = "gain" if op.startswith("Level") else "threshold"
    for name, value in (("x", x), (vector, threshold), ("scale", scale), ("bias", bias)):
        if value.dtype != torch.float32:
            raise PackedOperatorError(
                f"{op}: {name} must be float32, got {value.dtype} (frozen layers stay in float32: bits are exact)"
            )
    if tuple(threshold.shape) not in ((1,), (channels,)):
        raise PackedOperatorError(f"{op}: {vector} must have shape [{channels}] or [1], got {list(threshold.shape)}")
    for name, value in (("scale", scale), ("bias", bias)):
        if tuple(value.shape) != (outputs,):
            raise PackedOperatorError(f"{op}: {name} must have shape [{outputs}], got {list(value.shape)}")


def _check_level_vector(op: str, name: str, value: Tensor, channels: int) -> None:
    if value.dtype != torch.float32 or tuple(value.shape) not in ((1,), (channels,)):
        raise PackedOperatorError(
            f"{op}: {name} must be float32 [{channels}] or [1], got {value.dtype} {list(value.shape)}"
        )


def _check_weight(op: str, weight: Tensor, shape: list[int]) -> None:
    if weight.dtype != torch.uint8 or list(weight.shape) != shape:
        raise PackedOperatorError(
            f"{op}: weight must be packed bits, uint8 {shape}, got {weight.dtype} {list(weight.shape)}"
        )
