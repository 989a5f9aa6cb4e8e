"""Kernels of one number an output: embeddings, unpacked weights, binarizers. There is nothing to choose."""

from __future__ import annotations

import ctypes
from math import ceil

from .families.base import Build

_THREADS, _MOST_BLOCKS = 256, 4096


class Unpack(ctypes.Structure):
    """Arguments of kernels/unpack.cuh, in its order."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("w", "ids", "scale", "out")),
        *((name, ctypes.c_int64) for name in ("count", "entries")),
        *((name, ctypes.c_int32) for name in ("channels", "taps", "words", "per_row")),
    ]


class Binarize(ctypes.Structure):
    """Arguments of kernels/binarize.cuh, in its order."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "threshold", "out")),
        *((name, ctypes.c_int64) for name in ("count", "inner")),
        ("low", ctypes.c_float),
        ("channels", ctypes.c_int32),
    ]


UNPACK = Build("unpack", (("threads", _THREADS),), _THREADS, 0, "exact")
BINARIZE = Build("binarize", (("threads", _THREADS),), _THREADS, 0, "exact")


def grid_of(count: int) -> tuple[int, int, int]:
    """Blocks for a number of outputs; each thread makes several of many."""
    return (min(_MOST_BLOCKS, max(1, ceil(count / _THREADS))), 1, 1)
