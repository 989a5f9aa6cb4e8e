"""Canonical bit packing: least significant bit first, 32-bit little-endian words, tail bits 0 (docs/dialect.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

U32 = npt.NDArray[np.uint32]


def words_of(channels: int) -> int:
    """32-bit words that hold `channels` bits."""
    return (channels + 31) // 32


def pack_bits(bits: npt.NDArray[np.bool_]) -> U32:
    """Packs the last axis: bool `[..., C]` -> uint32 `[..., ceil(C/32)]`."""
    c = bits.shape[-1]
    pad = words_of(c) * 32 - c
    if pad:
        bits = np.concatenate([bits, np.zeros((*bits.shape[:-1], pad), dtype=bool)], axis=-1)
    packed = np.packbits(bits, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").astype(np.uint32, copy=False)


def unpack_bits(words: U32, channels: int) -> npt.NDArray[np.bool_]:
    """Inverse of `pack_bits`: uint32 `[..., W]` -> bool `[..., channels]`."""
    raw = np.ascontiguousarray(words.astype("<u4", copy=False)).view(np.uint8)
    return np.unpackbits(raw, axis=-1, count=channels, bitorder="little").astype(bool)


def words_from_bytes(data: npt.NDArray[Any], channels: int, what: str) -> U32:
    """The dialect's uint8 rows `[..., 4*ceil(channels/32)]` as uint32 words `[..., ceil(channels/32)]`.

    Raises ValueError when the dtype, the row length or the tail bits are wrong.
    """
    if data.dtype != np.uint8:
        raise ValueError(f"{what} must be uint8, it is {data.dtype}")
    if data.ndim < 1 or data.shape[-1] != 4 * words_of(channels):
        raise ValueError(
            f"{what} has shape {list(data.shape)}: rows of {channels} channels take {4 * words_of(channels)} bytes"
        )
    words = np.ascontiguousarray(data).view("<u4").astype(np.uint32, copy=False)
    tail = channels % 32
    if tail and np.any(words[..., -1] >> np.uint32(tail)):
        raise ValueError(f"{what} has bits set past its {channels} channels; they must be 0")
    return words
