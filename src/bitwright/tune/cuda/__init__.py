"""CUDA kernels of low-bit products, and how the tuner knows them. Nothing here needs a GPU until it runs one."""

from __future__ import annotations

from .conv import Conv2d
from .devices import model, models, this_gpu
from .families import CudaTemplate, families

__all__ = ["Conv2d", "CudaTemplate", "families", "model", "models", "this_gpu"]
