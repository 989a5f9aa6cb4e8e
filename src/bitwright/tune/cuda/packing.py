"""Activations to bits on the GPU: builds and arguments of kernels/pack.cuh."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from math import ceil

from ..errors import TuneError
from .algebra import chunks_of
from .families.base import Build

INPUTS = {"f32": 0, "f16": 1, "bf16": 2}
_THREADS = 128


class Pack(ctypes.Structure):
    """Arguments of the kernel `pack`, in the order of its source."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ["x", "threshold", "offset", "bits", "sums"]),
        *((name, ctypes.c_int64) for name in ["image_stride", "row_stride", "channel_stride", "plane_words"]),
        *((name, ctypes.c_int32) for name in ["rows", "rows_in_image", "channels", "ld", "per_channel"]),
    ]


@dataclass(frozen=True)
class PackBuild:
    """A packing kernel.

    Attributes:
        dtype: of the input: "f32", "f16" or "bf16".
        planes: 1: bits by a threshold; more: levels by gain and offset.
        across: whether the lanes of a warp run over channels (these lie side by side) or over pixels (those do).
    """

    dtype: str
    planes: int
    across: bool

    def __post_init__(self) -> None:
        if self.dtype not in INPUTS or not 1 <= self.planes <= 8:
            raise TuneError(
                f"no packing of {self.dtype} to {self.planes} planes; {', '.join(INPUTS)} to 1 to 8 are there"
            )

    @property
    def build(self) -> Build:
        defines = {"in": INPUTS[self.dtype], "planes": self.planes, "lanes": int(not self.across), "threads": _THREADS}
        return Build("pack", tuple(sorted(defines.items())), _THREADS, 0, "exact")

    def grid(self, rows: int) -> tuple[int, int, int]:
        """Blocks for a number of rows."""
        return (ceil(rows / (_THREADS // 32 if self.across else _THREADS)), 1, 1)


def words_of(channels: int) -> int:
    """Words of a packed row."""
    return 4 * chunks_of(channels)
