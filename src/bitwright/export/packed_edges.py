"""Operators between which activations travel as bits: packing, and convolutions from bits to floats or bits.

A packed map is two tensors: `bits`, int32 `[N, *S, words]` (channels last, least significant bit first, rows padded
with zeros to 128 bits), and `sums`, int32 `[N, *S]`, how many bits of each pixel are 1. `bitwright.export.cuda.fuse`
puts them into a model. On CUDA the tuner's kernels run them, elsewhere plain torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bitwright.compiler.dialect import BinaryConvAttrs
from bitwright.export import checks, reference_ops
from bitwright.export.checks import PackedOperatorError
from bitwright.export.maps import empty_map

_GEOMETRY = (
    "int[] kernel, int[] stride, int[] dilation, int[] pads, int groups, int channels, float low, str pad_mode, "
    "float pad_value"
)
PACK_SCHEMA = "(Tensor x, Tensor threshold) -> (Tensor, Tensor)"
CONV_SCHEMA = f"(Tensor bits, Tensor sums, Tensor weight, Tensor scale, Tensor bias, {_GEOMETRY}) -> Tensor"
BITS_SCHEMA = (
    f"(Tensor bits, Tensor sums, Tensor weight, Tensor thresholds, Tensor flips, {_GEOMETRY}) -> (Tensor, Tensor)"
)
Map = tuple[Tensor, Tensor]


def words_of(channels: int) -> int:
    """32-bit words of a pixel."""
    return 4 * -(-channels // 128)


def pack_map(bits: Tensor) -> Map:
    """bool `[..., C]` to a packed map."""
    channels = bits.shape[-1]
    padded = torch.nn.functional.pad(bits, (0, 32 * words_of(channels) - channels)).unflatten(-1, (-1, 32))
    places = torch.arange(32, device=bits.device)
    return (padded.long() << places).sum(-1).to(torch.int32), bits.sum(-1, dtype=torch.int32)


def unpack_map(bits: Tensor, channels: int) -> Tensor:
    """The bool `[..., C]` of a packed map."""
    places = torch.arange(32, dtype=torch.int32, device=bits.device)
    return ((bits.unsqueeze(-1) >> places) & 1).flatten(-2)[..., :channels].bool()


def why_not_packed(attrs: BinaryConvAttrs) -> str | None:
    """The reason why a convolution cannot read bits: padding that kernels do not make of them."""
    if any(attrs.pads) and attrs.pad_mode == "edge":
        return "its padding repeats the map's edge"
    if any(attrs.pads) and attrs.low == 0 and attrs.pad_value != 0:
        return "its {0,1} map is padded with 1"
    return None


def check_map(
    bits: Tensor, sums: Tensor, weight: Tensor, vectors: tuple[Tensor, ...], attrs: BinaryConvAttrs
) -> list[int]:
    """The output's shape `[N, O, *S']`.

    Raises:
        PackedOperatorError: a tensor of a wrong dtype or shape, or padding that has no meaning for bits.
    """
    why, words, outputs = why_not_packed(attrs), words_of(attrs.group * attrs.channels), weight.shape[0]
    if why is not None:
        raise PackedOperatorError(f"packed convolution: {why}")
    if bits.dtype != torch.int32 or bits.ndim != attrs.rank + 2 or bits.shape[-1] != words:
        raise PackedOperatorError(
            f"packed convolution: bits must be int32 [N, {attrs.rank} axes, {words}], got {bits.dtype} "
            f"{list(bits.shape)}"
        )
    if sums.dtype != torch.int32 or sums.shape != bits.shape[:-1]:
        raise PackedOperatorError(
            f"packed convolution: sums must be int32 {list(bits.shape[:-1])}, got {sums.dtype} {list(sums.shape)}"
        )
    if any(tuple(v.shape) != (outputs,) for v in vectors) or outputs % attrs.group:
        raise PackedOperatorError(
            f"packed convolution: vectors must have shape [{outputs}] of {attrs.group} groups, got "
            f"{[list(v.shape) for v in vectors]}"
        )
    checks._check_weight("packed convolution", weight, [outputs, attrs.taps, checks.packed_bytes(attrs.channels)])
    return [bits.shape[0], outputs, *attrs.output_size(bits.shape[1:-1])]


def _accumulator(bits: Tensor, weight: Tensor, attrs: BinaryConvAttrs) -> Tensor:
    ones = unpack_map(bits, attrs.group * attrs.channels)
    activation = torch.where(ones, 1.0, attrs.low).movedim(-1, 1)
    return reference_ops._convolve(activation, weight, attrs, attrs.pad_value)


def _on_cuda(name: str, *args: Any) -> Any:
    from bitwright.export import cuda

    found = cuda.operators.executor_for(name, args[0].device)
    if found is None:
        return None
    with torch.cuda.device(args[0].device):
        return getattr(found, name)(*args)


@torch.library.custom_op("bitwright::pack_map", mutates_args=(), schema=PACK_SCHEMA)
def pack(x: Tensor, threshold: Tensor) -> Map:
    """x float32 `[N, C, *S]`, threshold `[C]` or `[1]` to a packed map; a bit is `x >= threshold`."""
    _check_pack(x, threshold)
    return pack_map(reference_ops.binarize(x, threshold, 0.0, 1).movedim(1, -1) > 0)


def _check_pack(x: Tensor, threshold: Tensor) -> None:
    if x.dtype != torch.float32 or threshold.dtype != torch.float32 or x.ndim < 2:
        raise PackedOperatorError(f"pack_map: x must be float32 [N, C, ...], got {x.dtype} {list(x.shape)}")
    if tuple(threshold.shape) not in ((1,), (x.shape[1],)):
        raise PackedOperatorError(f"pack_map: threshold must be [{x.shape[1]}] or [1], got {list(threshold.shape)}")


@pack.register_kernel("cuda")
def _pack_cuda(x: Tensor, threshold: Tensor) -> Map:
    _check_pack(x, threshold)
    found: Map | None = _on_cuda("pack_map", x, threshold) if x.numel() else None
    return pack_map(reference_ops.binarize(x, threshold, 0.0, 1).movedim(1, -1) > 0) if found is None else found


@pack.register_fake
def _pack_fake(x: Tensor, threshold: Tensor) -> Map:
    _check_pack(x, threshold)
    size = (x.shape[0], *x.shape[2:])
    return x.new_empty((*size, words_of(x.shape[1])), dtype=torch.int32), x.new_empty(size, dtype=torch.int32)


@torch.library.custom_op("bitwright::packed_conv", mutates_args=(), schema=CONV_SCHEMA)
def packed_conv(*args: Any) -> Tensor:
    """A packed map, weight uint8 `[O, T, B]`, scale, bias `[O]` to float32 `[N, O, *S']`."""
    bits, sums, weight, scale, bias, *rest = args
    attrs = BinaryConvAttrs(*rest)
    check_map(bits, sums, weight, (scale, bias), attrs)
    return reference_ops.affine(_accumulator(bits, weight, attrs), scale, bias, 1).contiguous()


@packed_conv.register_kernel("cuda")
def _packed_conv_cuda(*args: Any) -> Tensor:
    bits, sums, weight, scale, bias, *rest = args
    attrs = BinaryConvAttrs(*rest)
    shape = check_map(bits, sums, weight, (scale, bias), attrs)
    found: Tensor | None = None
    if 0 not in shape:
        found = _on_cuda("packed_conv", bits, sums, weight, {"scale": scale, "bias": bias}, attrs)
    if found is not None:
        return found
    y = reference_ops.affine(_accumulator(bits, weight, attrs), scale, bias, 1)
    return y.movedim(1, -1).contiguous().movedim(-1, 1)


@packed_conv.register_fake
def _packed_conv_fake(*args: Any) -> Tensor:
    bits, sums, weight, scale, bias, *rest = args
    return empty_map(scale, check_map(bits, sums, weight, (scale, bias), BinaryConvAttrs(*rest)))


@torch.library.custom_op("bitwright::packed_conv_bits", mutates_args=(), schema=BITS_SCHEMA)
def packed_conv_bits(*args: Any) -> Map:
    """As `packed_conv`, to a packed map: a bit is `accumulator >= thresholds`, turned around where `flips` has a 1.

    thresholds int32 `[O]`, flips int32 `[words]`, bits as of a pixel.
    """
    bits, sums, weight, thresholds, flips, *rest = args
    attrs = BinaryConvAttrs(*rest)
    _check_cut(thresholds, flips, weight.shape[0])
    check_map(bits, sums, weight, (), attrs)
    return _threshold(_accumulator(bits, weight, attrs), thresholds, flips)


def _threshold(accumulator: Tensor, thresholds: Tensor, flips: Tensor) -> Map:
    return pack_map((accumulator.movedim(1, -1).to(torch.int32) >= thresholds) ^ unpack_map(flips, len(thresholds)))


def _check_cut(thresholds: Tensor, flips: Tensor, outputs: int) -> None:
    for name, value, size in (("thresholds", thresholds, outputs), ("flips", flips, words_of(outputs))):
        if value.dtype != torch.int32 or tuple(value.shape) != (size,):
            raise PackedOperatorError(
                f"packed convolution: {name} must be int32 [{size}], got {value.dtype} {list(value.shape)}"
            )


@packed_conv_bits.register_kernel("cuda")
def _packed_conv_bits_cuda(*args: Any) -> Map:
    bits, sums, weight, thresholds, flips, *rest = args
    attrs = BinaryConvAttrs(*rest)
    _check_cut(thresholds, flips, weight.shape[0])
    shape = check_map(bits, sums, weight, (), attrs)
    found: Map | None = None
    if 0 not in shape:
        found = _on_cuda("packed_conv", bits, sums, weight, {"thresholds": thresholds, "flips": flips}, attrs)
    return _threshold(_accumulator(bits, weight, attrs), thresholds, flips) if found is None else found


@packed_conv_bits.register_fake
def _packed_conv_bits_fake(*args: Any) -> Map:
    bits, sums, weight, thresholds, flips, *rest = args
    _check_cut(thresholds, flips, weight.shape[0])
    outer, channels, *inner = check_map(bits, sums, weight, (), BinaryConvAttrs(*rest))
    size = (outer, *inner)
    return bits.new_empty((*size, words_of(channels))), sums.new_empty(size)
