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
from torch.library import CustomOpDef

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


def _product(
    name: str,
    schema: str,
    tensors: int,
    attributes: Callable[..., Any],
    shape: Callable[..., Any],
    empty: Callable[[Tensor, Any], Tensor],
) -> CustomOpDef:
    """The operator `bitwright::<name>` with its kernels.

    Args:
        name: also of its functions in `reference_ops`, `native` and `bitwright.export.cuda`.
        schema: of its arguments.
        tensors: how many of them are tensors, the input first; the rest are attributes.
        attributes: their class.
        shape: checks tensors and attributes, gives the shape of the output.
        empty: an output like the input, of such a shape.
    """

    def checked(args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, Any]:
        attrs = attributes(*args[tensors:])
        return args[:tensors], attrs, shape(*args[:tensors], attrs)

    def plain(*args: Any) -> Tensor:
        given, attrs, _ = checked(args)
        result: Tensor = getattr(reference_ops, name)(*given, attrs)
        return result

    def on_cpu(*args: Any) -> Tensor:
        given, attrs, _ = checked(args)
        kernels = reference_ops if native.reference_ops_enabled() else native
        result: Tensor = getattr(kernels, name)(*given, attrs)
        return result

    def on_cuda(*args: Any) -> Tensor:
        from bitwright.export import cuda

        (x, weight, *vectors), attrs, _ = checked(args)
        return cuda.run(name, x, weight, vectors, attrs)

    def fake(*args: Any) -> Tensor:
        given, _, size = checked(args)
        return empty(given[0], size)

    op = torch.library.custom_op(f"bitwright::{name}", plain, mutates_args=(), schema=schema)
    op.register_kernel("cpu", on_cpu)
    op.register_kernel("cuda", on_cuda)
    op.register_fake(fake)
    return op


def _rows(x: Tensor, shape: Any) -> Tensor:
    return x.new_empty(shape)


# x `[N, C, *S]`, weight uint8 `[O, T, B]`, threshold `[C]` or `[1]`, scale `[O]`, bias `[O]` to `[N, O, *S']`
binary_conv = _product("binary_conv", CONV_SCHEMA, 5, BinaryConvAttrs, checks.conv_shape, empty_map)

# as `binary_conv`, transposed; weight in gather form: a row of C/groups channels for every output channel
binary_conv_transpose = _product(
    "binary_conv_transpose", CONV_TRANSPOSE_SCHEMA, 5, BinaryConvTransposeAttrs, checks.conv_shape, empty_map
)

# x `[..., F]`, weight uint8 `[O, B]`, threshold `[F]` or `[1]`, scale `[O]`, bias `[O]` to `[..., O]`
binary_linear = _product("binary_linear", LINEAR_SCHEMA, 5, BinaryLinearAttrs, checks.linear_shape, _rows)

# x `[N, C, *S]`, weight uint8 `[O, T, B]`, gain, offset `[C]` or `[1]`, scale, bias `[O]` to `[N, O, *S']`
level_conv = _product("level_conv", LEVEL_CONV_SCHEMA, 6, LevelConvAttrs, checks.level_conv_shape, empty_map)

# x `[..., F]`, weight uint8 `[O, B]`, gain, offset `[F]` or `[1]`, scale, bias `[O]` to `[..., O]`
level_linear = _product("level_linear", LEVEL_LINEAR_SCHEMA, 6, LevelLinearAttrs, checks.level_linear_shape, _rows)


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
