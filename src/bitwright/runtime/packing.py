"""Floats to bits and back, in the canonical packing: 32-bit words, least significant bit first, tail bits 0."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitwright.runtime._load import native

__all__ = ["pack_bits", "unpack_bits"]


def pack_bits(x: npt.ArrayLike, threshold: float | npt.ArrayLike = 0.0) -> npt.NDArray[np.uint32]:
    """Packs the last axis.

    Args:
        x: float32 [..., C]; or bool, whose True is the bit 1.
        threshold: a number or float32 [C]. A bit is 1 where ``x >= threshold``: 0 and -0.0 give 1 at threshold 0, NaN
            gives 0.

    Returns:
        uint32 [..., ceil(C/32)]; channel c is bit c % 32 of word c // 32.

    Raises:
        TypeError: x is neither float32 nor bool.
        ValueError: x has no axis or no channels, or the threshold does not fit.
    """
    array = np.asarray(x)
    if array.dtype == np.bool_:
        array = np.where(array, np.float32(1), np.float32(-1))
        if np.ndim(threshold) or threshold != 0.0:
            raise ValueError("a threshold makes no sense for bool values")
    elif array.dtype != np.float32:
        raise TypeError(f"x is {array.dtype}; float32 or bool is expected: pass x.astype(numpy.float32)")
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(
            f"x has the shape {list(array.shape)}; at least one axis with at least one channel is expected"
        )
    channels = array.shape[-1]
    limits = np.ascontiguousarray(threshold, dtype=np.float32).reshape(-1)
    if np.ndim(threshold) > 1 or limits.size not in (1, channels):
        raise ValueError(f"threshold has the shape {list(np.shape(threshold))}; a number or [{channels}] is expected")
    words = np.empty((*array.shape[:-1], (channels + 31) // 32), np.uint32)
    native.pack_bits(np.ascontiguousarray(array), limits, words, channels)
    return words


def unpack_bits(words: npt.ArrayLike, channels: int) -> npt.NDArray[np.bool_]:
    """Unpacks the last axis.

    Args:
        words: uint32 [..., ceil(channels/32)].
        channels: the true number of channels.

    Returns:
        bool [..., channels].

    Raises:
        TypeError: words is not uint32.
        ValueError: the last axis does not have ceil(channels/32) words.
    """
    array = np.asarray(words)
    if array.dtype != np.uint32:
        raise TypeError(f"words is {array.dtype}; uint32 is expected")
    if channels < 1 or array.ndim == 0 or array.shape[-1] != (channels + 31) // 32:
        raise ValueError(
            f"words has the shape {list(array.shape)}; {channels} channels need [..., {max(0, channels + 31) // 32}]"
        )
    octets = np.ascontiguousarray(array.astype("<u4", copy=False)).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little", count=channels).astype(np.bool_)
