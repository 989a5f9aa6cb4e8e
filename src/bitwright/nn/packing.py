"""Bits to bytes and back, in torch: the canonical packing of docs/dialect.md.

Least significant bit first, 32-bit little-endian words, channels innermost, tail bits 0, seen as bytes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def packed_bytes(channels: int) -> int:
    """Bytes of one row of `channels` bits: whole 32-bit words."""
    return 4 * ((channels + 31) // 32)


def pack_bits(bits: Tensor) -> Tensor:
    """Packs the last axis.

    Args:
        bits: bool `[..., C]`.

    Returns:
        uint8 `[..., 4 * ceil(C / 32)]`.

    Raises:
        TypeError: `bits` is not bool.
    """
    if bits.dtype != torch.bool:
        raise TypeError(f"pack_bits needs a bool tensor (True = 1), got {bits.dtype}")
    channels = bits.shape[-1]
    padded = torch.nn.functional.pad(bits.to(torch.uint8), (0, 8 * packed_bytes(channels) - channels))
    weights = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=bits.device)
    return (padded.unflatten(-1, (-1, 8)) * weights).sum(-1, dtype=torch.uint8)


def unpack_bits(packed: Tensor, channels: int) -> Tensor:
    """The inverse of `pack_bits`.

    Args:
        packed: uint8 `[..., 4 * ceil(channels / 32)]`.
        channels: C.

    Returns:
        bool `[..., C]`.

    Raises:
        TypeError: `packed` is not uint8.
        ValueError: the last axis does not have the bytes of `channels` bits, or a tail bit is set.
    """
    if packed.dtype != torch.uint8:
        raise TypeError(f"unpack_bits needs a uint8 tensor, got {packed.dtype}")
    if packed.shape[-1] != packed_bytes(channels):
        raise ValueError(
            f"{channels} channels take {packed_bytes(channels)} bytes, the last axis has {packed.shape[-1]}"
        )
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    bits = ((packed.unsqueeze(-1) >> shifts) & 1).flatten(-2).bool()
    if bits[..., channels:].any():
        raise ValueError("a bit past the last channel is set; the canonical packing has 0 there")
    return bits[..., :channels]


def pack_filters(bits: Tensor) -> Tensor:
    """Packs weights in filter form: bool `[O, I/groups, *kernel]` to uint8 `[O, T, 4*ceil(I/groups/32)]`, T =
    prod(kernel).

    Without kernel axes (linear, embedding) the result is `[O, 4*ceil(I/32)]`.
    """
    if bits.dim() == 2:
        return pack_bits(bits)
    return pack_bits(bits.flatten(2).transpose(1, 2).contiguous())


def unpack_filters(packed: Tensor, channels: int, kernel_size: tuple[int, ...] = ()) -> Tensor:
    """The inverse of `pack_filters`: bool `[O, channels, *kernel_size]`."""
    bits = unpack_bits(packed, channels)
    if not kernel_size:
        return bits
    return bits.transpose(1, 2).unflatten(2, kernel_size)
