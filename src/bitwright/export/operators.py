"""The packed torch operators `bitwright::*`: schemas, shape functions and kernels.

The CPU kernel is the native engine's, CUDA's are the tuned ones (`bitwright.export.cuda`), other devices run plain
torch. `y = scale * accumulator + bias`, the bit is
`x >= threshold` (NaN: 0), weights and attributes are those of docs/dialect.md. The operators have no gradient: frozen
models only infer. Importing this module registers them in `torch.ops.bitwright`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from bitwright.export import checks, native, reference_ops
from bitwright.export.maps import empty_map

_FIVE = "Tensor x, Tensor weight, Tensor threshold, Tensor scale, Tensor bias"
_GEOMETRY = "int[] kernel, int[] stride, int[] dilation, int[] pads"

# The arguments after the tensors are the fields of the operator's attribute class, in their order.
CONV_SCHEMA = f"({_FIVE}, {_GEOMETRY}, int groups, int channels, float low, str pad_mode, float pad_value) -> Tensor"
CONV_TRANSPOSE_SCHEMA = f"({_FIVE}, {_GEOMETRY}, int[] output_padding, int groups, int channels, float low) -> Tensor"
LINEAR_SCHEMA = f"({_FIVE}, int channels, float low) -> Tensor"
_SIX = "Tensor x, Tensor weight, Tensor gain, Tensor offset, Tensor scale, Tensor bias"
LEVEL_CONV_SCHEMA = f"({_SIX}, {_GEOMETRY}, int groups, int channels, int bits, str pad_mode) -> Tensor"
LEVEL_LINEAR_SCHEMA = f"({_SIX}, int channels, int bits) -> Tensor"
EMBEDDING_SCHEMA = "(Tensor ids, Tensor weight, Tensor scale, int channels) -> Tensor"
BINARIZE_SCHEMA = "(Tensor x, Tensor threshold, float low, int axis) -> Tensor"
UNPACK_SCHEMA = "(Tensor weight, int[] shape) -> Tensor"

Five = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def _five(args: tuple[Any, ...]) -> tuple[Five, tuple[Any, ...]]:
    x, weight, threshold, scale, bias, *rest = args
    return (x, weight, threshold, scale, bias), tuple(rest)


Six = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def _six(args: tuple[Any, ...]) -> tuple[Six, tuple[Any, ...]]:
    x, weight, gain, offset, scale, bias, *rest = args
    return (x, weight, gain, offset, scale, bias), tuple(rest)


def _on_cuda(op: str, tensors: tuple[Tensor, ...], attrs: Any, check: Callable[..., Any]) -> Tensor:
    from bitwright.export import cuda

    check(*tensors, attrs)
    x, weight, *vectors = tensors
    return cuda.run(op, x, weight, vectors, attrs)


@torch.library.custom_op("bitwright::binary_conv", mutates_args=(), schema=CONV_SCHEMA)
def binary_conv(*args: Any) -> Tensor:
    """x `[N, C, *S]`, weight uint8 `[O, T, B]`, threshold `[C]` or `[1]`, scale `[O]`, bias `[O]` to `[N, O, *S']`."""
    tensors, rest = _five(args)
    attrs = BinaryConvAttrs(*rest)
    checks.conv_shape(*tensors, attrs)
    return reference_ops.binary_conv(*tensors, attrs)


@binary_conv.register_kernel("cpu")
def _binary_conv_cpu(*args: Any) -> Tensor:
    tensors, rest = _five(args)
    attrs = BinaryConvAttrs(*rest)
    checks.conv_shape(*tensors, attrs)
    if native.reference_ops_enabled():
        return reference_ops.binary_conv(*tensors, attrs)
    return native.binary_conv(*tensors, attrs)


@binary_conv.register_kernel("cuda")
def _binary_conv_cuda(*args: Any) -> Tensor:
    return _on_cuda("binary_conv", _five(args)[0], BinaryConvAttrs(*_five(args)[1]), checks.conv_shape)


@binary_conv.register_fake
def _binary_conv_fake(*args: Any) -> Tensor:
    tensors, rest = _five(args)
    return empty_map(tensors[0], checks.conv_shape(*tensors, BinaryConvAttrs(*rest)))


@torch.library.custom_op("bitwright::binary_conv_transpose", mutates_args=(), schema=CONV_TRANSPOSE_SCHEMA)
def binary_conv_transpose(*args: Any) -> Tensor:
    """As `binary_conv`, transposed; weight in gather form: a row of C/groups channels for every output channel."""
    tensors, rest = _five(args)
    attrs = BinaryConvTransposeAttrs(*rest)
    checks.conv_shape(*tensors, attrs)
    return reference_ops.binary_conv_transpose(*tensors, attrs)


@binary_conv_transpose.register_kernel("cpu")
def _binary_conv_transpose_cpu(*args: Any) -> Tensor:
    tensors, rest = _five(args)
    attrs = BinaryConvTransposeAttrs(*rest)
    checks.conv_shape(*tensors, attrs)
    if native.reference_ops_enabled():
        return reference_ops.binary_conv_transpose(*tensors, attrs)
    return native.binary_conv_transpose(*tensors, attrs)


@binary_conv_transpose.register_kernel("cuda")
def _binary_conv_transpose_cuda(*args: Any) -> Tensor:
    return _on_cuda(
        "binary_conv_transpose", _five(args)[0], BinaryConvTransposeAttrs(*_five(args)[1]), checks.conv_shape
    )


@binary_conv_transpose.register_fake
def _binary_conv_transpose_fake(*args: Any) -> Tensor:
    tensors, rest = _five(args)
    return empty_map(tensors[0], checks.conv_shape(*tensors, BinaryConvTransposeAttrs(*rest)))


@torch.library.custom_op("bitwright::binary_linear", mutates_args=(), schema=LINEAR_SCHEMA)
def binary_linear(*args: Any) -> Tensor:
    """x `[..., F]`, weight uint8 `[O, B]`, threshold `[F]` or `[1]`, scale `[O]`, bias `[O]` to `[..., O]`."""
    tensors, rest = _five(args)
    attrs = BinaryLinearAttrs(*rest)
    checks.linear_shape(*tensors, attrs)
    return reference_ops.binary_linear(*tensors, attrs)


@binary_linear.register_kernel("cpu")
def _binary_linear_cpu(*args: Any) -> Tensor:
    tensors, rest = _five(args)
    attrs = BinaryLinearAttrs(*rest)
    checks.linear_shape(*tensors, attrs)
    if native.reference_ops_enabled():
        return reference_ops.binary_linear(*tensors, attrs)
    return native.binary_linear(*tensors, attrs)


@binary_linear.register_kernel("cuda")
def _binary_linear_cuda(*args: Any) -> Tensor:
    return _on_cuda("binary_linear", _five(args)[0], BinaryLinearAttrs(*_five(args)[1]), checks.linear_shape)


@binary_linear.register_fake
def _binary_linear_fake(*args: Any) -> Tensor:
    tensors, rest = _five(args)
    return tensors[0].new_empty(checks.linear_shape(*tensors, BinaryLinearAttrs(*rest)))


@torch.library.custom_op("bitwright::level_conv", mutates_args=(), schema=LEVEL_CONV_SCHEMA)
def level_conv(*args: Any) -> Tensor:
    """x `[N, C, *S]`, weight uint8 `[O, T, B]`, gain, offset `[C]` or `[1]`, scale, bias `[O]` to `[N, O, *S']`."""
    tensors, rest = _six(args)
    attrs = LevelConvAttrs(*rest)
    checks.level_conv_shape(*tensors, attrs)
    return reference_ops.level_conv(*tensors, attrs)


@level_conv.register_kernel("cpu")
def _level_conv_cpu(*args: Any) -> Tensor:
    tensors, rest = _six(args)
    attrs = LevelConvAttrs(*rest)
    checks.level_conv_shape(*tensors, attrs)
    run = reference_ops.level_conv if native.reference_ops_enabled() else native.level_conv
    return run(*tensors, attrs)


@level_conv.register_kernel("cuda")
def _level_conv_cuda(*args: Any) -> Tensor:
    return _on_cuda("level_conv", _six(args)[0], LevelConvAttrs(*_six(args)[1]), checks.level_conv_shape)


@level_conv.register_fake
def _level_conv_fake(*args: Any) -> Tensor:
    tensors, rest = _six(args)
    return empty_map(tensors[0], checks.level_conv_shape(*tensors, LevelConvAttrs(*rest)))


@torch.library.custom_op("bitwright::level_linear", mutates_args=(), schema=LEVEL_LINEAR_SCHEMA)
def level_linear(*args: Any) -> Tensor:
    """x `[..., F]`, weight uint8 `[O, B]`, gain, offset `[F]` or `[1]`, scale, bias `[O]` to `[..., O]`."""
    tensors, rest = _six(args)
    attrs = LevelLinearAttrs(*rest)
    checks.level_linear_shape(*tensors, attrs)
    return reference_ops.level_linear(*tensors, attrs)


@level_linear.register_kernel("cpu")
def _level_linear_cpu(*args: Any) -> Tensor:
    tensors, rest = _six(args)
    attrs = LevelLinearAttrs(*rest)
    checks.level_linear_shape(*tensors, attrs)
    run = reference_ops.level_linear if native.reference_ops_enabled() else native.level_linear
    return run(*tensors, attrs)


@level_linear.register_kernel("cuda")
def _level_linear_cuda(*args: Any) -> Tensor:
    return _on_cuda("level_linear", _six(args)[0], LevelLinearAttrs(*_six(args)[1]), checks.level_linear_shape)


@level_linear.register_fake
def _level_linear_fake(*args: Any) -> Tensor:
    tensors, rest = _six(args)
    return tensors[0].new_empty(checks.level_linear_shape(*tensors, LevelLinearAttrs(*rest)))


# The three below only compare or unpack bits: plain torch on the CPU, small kernels on CUDA.
@torch.library.custom_op("bitwright::binarize", mutates_args=(), schema=BINARIZE_SCHEMA)
def binarize(x: Tensor, threshold: Tensor, low: float, axis: int) -> Tensor:
    """x float32, threshold `[1]` or as long as `axis` of x, to 1 or `low` in the shape of x."""
    attrs = BinarizeAttrs(low, axis)
    checks.binarize_shape(x, threshold, attrs)
    return reference_ops.binarize(x, threshold, attrs.low, attrs.axis % x.ndim).contiguous()


@binarize.register_kernel("cuda")
def _binarize_cuda(x: Tensor, threshold: Tensor, low: float, axis: int) -> Tensor:
    from bitwright.export import cuda

    attrs = BinarizeAttrs(low, axis)
    checks.binarize_shape(x, threshold, attrs)
    return cuda.run_elementwise("binarize", x, threshold, attrs)


@binarize.register_fake
def _binarize_fake(x: Tensor, threshold: Tensor, low: float, axis: int) -> Tensor:
    return x.new_empty(checks.binarize_shape(x, threshold, BinarizeAttrs(low, axis)))


@torch.library.custom_op("bitwright::binary_embedding", mutates_args=(), schema=EMBEDDING_SCHEMA)
def binary_embedding(ids: Tensor, weight: Tensor, scale: Tensor, channels: int) -> Tensor:
    """ids int64 `[...]`, weight uint8 `[V, B]`, scale `[V]` or `[1]` to `[..., channels]`."""
    attrs = BinaryEmbeddingAttrs(channels)
    checks.embedding_shape(ids, weight, scale, attrs)
    return reference_ops.binary_embedding(ids, weight, scale, attrs)


@binary_embedding.register_kernel("cuda")
def _binary_embedding_cuda(ids: Tensor, weight: Tensor, scale: Tensor, channels: int) -> Tensor:
    from bitwright.export import cuda

    attrs = BinaryEmbeddingAttrs(channels)
    checks.embedding_shape(ids, weight, scale, attrs)
    return cuda.run_elementwise("binary_embedding", ids, weight, scale, attrs)


@binary_embedding.register_fake
def _binary_embedding_fake(ids: Tensor, weight: Tensor, scale: Tensor, channels: int) -> Tensor:
    return scale.new_empty(checks.embedding_shape(ids, weight, scale, BinaryEmbeddingAttrs(channels)))


@torch.library.custom_op("bitwright::unpack_weight", mutates_args=(), schema=UNPACK_SCHEMA)
def unpack_weight(weight: Tensor, shape: list[int]) -> Tensor:
    """weight uint8 `[R, T, B]` (or `[R, B]`) to float32 ±1 of shape `shape` = (R, channels, *kernel)."""
    attrs = UnpackWeightAttrs(tuple(shape))
    checks.unpack_shape(weight, attrs)
    return reference_ops.unpack_weight(weight, attrs)


@unpack_weight.register_kernel("cuda")
def _unpack_weight_cuda(weight: Tensor, shape: list[int]) -> Tensor:
    from bitwright.export import cuda

    attrs = UnpackWeightAttrs(tuple(shape))
    checks.unpack_shape(weight, attrs)
    return cuda.run_elementwise("unpack_weight", weight, attrs)


@unpack_weight.register_fake
def _unpack_weight_fake(weight: Tensor, shape: list[int]) -> Tensor:
    return weight.new_empty(checks.unpack_shape(weight, UnpackWeightAttrs(tuple(shape))), dtype=torch.float32)
