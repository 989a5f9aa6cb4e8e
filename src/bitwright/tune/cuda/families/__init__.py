"""The families of CUDA kernels: what the tuner chooses from."""

from __future__ import annotations

from .base import Build, CudaTemplate, Launch
from .mma_b1 import MmaB1
from .popc import Gemv, PopcGemm
from .wgmma_b1 import WgmmaB1
from .wide import MmaWide

__all__ = ["Build", "CudaTemplate", "Gemv", "Launch", "MmaB1", "MmaWide", "PopcGemm", "WgmmaB1", "families"]


def families() -> list[CudaTemplate]:
    """All of them, the preferred first where costs tie."""
    return [WgmmaB1(), MmaB1(), MmaWide(), PopcGemm(), Gemv()]
