"""The canonical packing of ±1 weights seen as bytes (docs/dialect.md), in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def packed_bytes(channels: int) -> int:
    """Bytes of one packed row of `channels` bits: whole 32-bit words."""
    if channels < 1:
        raise ValueError(f"a packed row needs at least 1 channel, got {channels}")
    return 4 * ((channels + 31) // 32)


def pack_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Packs the last axis: bool `[..., channels]` (True = +1) to uint8 `[..., 4*ceil(channels/32)]`.

    Least significant bit first, little-endian words, tail bits 0.

    Raises:
        TypeError: `bits` is not boolean (a float weight must be thresholded by its owner, not guessed here).
    """
    if bits.dtype != np.bool_:
        raise TypeError(f"pack_bits takes a boolean array (True = +1), got {bits.dtype}")
    packed = np.packbits(bits, axis=-1, bitorder="little")
    tail = packed_bytes(bits.shape[-1]) - packed.shape[-1]
    return np.pad(packed, [(0, 0)] * (bits.ndim - 1) + [(0, tail)])


def unpack_bits(packed: NDArray[np.uint8], channels: int) -> NDArray[np.bool_]:
    """The inverse of `pack_bits`: uint8 `[..., bytes]` to bool `[..., channels]`.

    Raises:
        TypeError: `packed` is not uint8.
        ValueError: the last axis does not hold exactly the bytes of `channels` bits.
    """
    if packed.dtype != np.uint8:
        raise TypeError(f"packed weights are uint8, got {packed.dtype}")
    if packed.shape[-1] != packed_bytes(channels):
        raise ValueError(
            f"{channels} channels are packed in {packed_bytes(channels)} bytes, but the array has shape {packed.shape}"
        )
    return np.unpackbits(packed, axis=-1, count=channels, bitorder="little").astype(np.bool_)
