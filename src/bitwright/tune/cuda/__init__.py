"""CUDA kernels of low-bit products, and how the tuner knows them. Nothing here needs a GPU until it runs one."""

from __future__ import annotations

from .choice import Choice, Chooser, RefusedError, explain
from .conv import Conv2d
from .devices import model, models, this_gpu
from .families import CudaTemplate, all_families, candidates, families
from .tuning import GpuReport, ShapeResult, tune_problems

__all__ = [
    "Choice",
    "Chooser",
    "Conv2d",
    "CudaTemplate",
    "GpuReport",
    "RefusedError",
    "ShapeResult",
    "all_families",
    "candidates",
    "explain",
    "families",
    "model",
    "models",
    "this_gpu",
    "tune_problems",
]
