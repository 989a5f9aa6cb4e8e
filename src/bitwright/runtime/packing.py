"""Arrays to bits and back, in the canonical packing: 32-bit words, least significant bit first, tail bits 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.runtime._load import native

__all__ = ["pack_bits", "unpack_bits"]

_TYPES = tuple(np.dtype(t) for t in (np.float32, np.int8, np.uint8, np.int16))
_BOOL = np.dtype(np.bool_)
_LIMITS: dict[np.dtype[Any], tuple[int, int]] = {
    np.dtype(t): (int(np.iinfo(t).min), int(np.iinfo(t).max)) for t in (np.int8, np.uint8, np.int16)
}


def _thresholds(threshold: npt.ArrayLike, dtype: np.dtype[np.generic], channels: int) -> npt.NDArray[np.generic]:
    """One threshold or one a channel, of the type of x."""
    if isinstance(threshold, int | float) and (
        dtype == np.float32 or (_LIMITS[dtype][0] <= threshold <= _LIMITS[dtype][1] and threshold == int(threshold))
    ):
        return np.array(threshold, dtype)
    given = np.asarray(threshold)
    if given.ndim > 1 or given.size not in (1, channels):
        raise ValueError(f"threshold has the shape {list(given.shape)}; a number or [{channels}] is expected")
    if given.dtype == dtype:
        return np.ascontiguousarray(given)
    if dtype == np.float32:
        return np.ascontiguousarray(given, dtype=np.float32)
    least, most = _LIMITS[dtype]
    with np.errstate(invalid="ignore"):
        wrong = ~((given >= least) & (given <= most) & (given == np.rint(given)))
    if wrong.any():
        raise ValueError(
            f"threshold holds {given[wrong].flat[0]}; x is {dtype}, so an integer in [{least}, {most}] is expected"
        )
    return np.ascontiguousarray(given.astype(dtype))


def pack_bits(
    x: npt.ArrayLike,
    threshold: float | npt.ArrayLike = 0,
    *,
    out: npt.NDArray[np.uint32] | None = None,
    threads: int = 1,
) -> npt.NDArray[np.uint32]:
    """Packs the last axis.

    Args:
        x: float32, int8, uint8 or int16 [..., C], any strides (nothing is copied); or bool, whose True is the bit 1.
        threshold: a number or [C], of the type of x. A bit is 1 where ``x >= threshold``: 0 and -0.0 give 1 at
            threshold 0, NaN gives 0.
        out: uint32 [..., ceil(C/32)], C-contiguous: receives the result. Must not overlap x.
        threads: threads of this call, 0 for as many as the process may use.

    Returns:
        uint32 [..., ceil(C/32)] (``out`` if given); channel c is bit c % 32 of word c // 32.

    Raises:
        TypeError: x or out has another type.
        ValueError: x has no axis or no channels, the threshold does not fit, or out has the wrong shape.
    """
    array = np.asarray(x)
    if array.dtype == _BOOL:
        if np.ndim(threshold) or threshold != 0:
            raise ValueError("a threshold makes no sense for bool values")
        array, threshold = array.view(np.uint8), 1
    elif array.dtype not in _TYPES:
        raise TypeError(
            f"x is {array.dtype}; float32, int8, uint8, int16 or bool is expected: pass x.astype(numpy.float32)"
        )
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(
            f"x has the shape {list(array.shape)}; at least one axis with at least one channel is expected"
        )
    limits = _thresholds(threshold, array.dtype, array.shape[-1])
    shape = (*array.shape[:-1], (array.shape[-1] + 31) // 32)
    if out is None:
        out = np.empty(shape, np.uint32)
    elif out.dtype != np.uint32:
        raise TypeError(f"out is {out.dtype}; uint32 is expected")
    elif out.shape != shape or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"out has the shape {list(out.shape)}; a writable, C-contiguous {list(shape)} is expected")
    if threads < 0:
        raise ValueError(f"threads is {threads}; 0 (all) or more is expected")
    if not array.flags.aligned or any(stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array)
    native.pack_bits(array, limits, out, threads)
    return out


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
