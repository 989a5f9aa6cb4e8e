"""The families of CUDA kernels: what the tuner chooses from."""

from __future__ import annotations

from dataclasses import replace

from ...config import Config
from ...device import Device
from ...problem import Problem
from ...template import Space, space_of
from .base import Build, CudaTemplate, Launch
from .cutlass_b1 import CutlassB1
from .dense import MmaDense, TorchDense, WgmmaDense
from .direct import Direct
from .mma_b1 import MmaB1
from .popc import Gemv, PopcGemm
from .wgmma_b1 import WgmmaB1
from .wide import MmaWide

__all__ = [
    "Build",
    "CudaTemplate",
    "CutlassB1",
    "Direct",
    "Gemv",
    "Launch",
    "MmaB1",
    "MmaDense",
    "MmaWide",
    "PopcGemm",
    "TorchDense",
    "WgmmaB1",
    "WgmmaDense",
    "all_families",
    "candidates",
    "dense_candidates",
    "dense_families",
    "families",
]


def families() -> list[CudaTemplate]:
    """Our own for packed weights, the preferred first where costs tie: what can be chosen to run a model."""
    return [WgmmaB1(), MmaB1(), MmaWide(), PopcGemm(), Gemv(), Direct()]


def all_families() -> list[CudaTemplate]:
    """All that can be measured: with CUTLASS's, and with the dense products that a choice must not lose to."""
    return [*families(), CutlassB1(), *dense_families()]


def dense_families() -> list[CudaTemplate]:
    """Products of numbers that were unpacked ahead: what 1-bit products have to beat."""
    return [WgmmaDense(), MmaDense(), TorchDense()]


def dense_candidates(problem: Problem, device: Device) -> list[Config]:
    """The cheapest dense candidate of each family by its analytic cost, and all of torch's."""
    found: dict[str, list[Config]] = {}
    for config in space_of(problem, device, dense_families()).configs:
        found.setdefault(config.template, []).append(config)
    return [c for name, configs in found.items() for c in (configs if name == TorchDense.name else configs[:1])]


def candidates(problem: Problem, device: Device) -> Space:
    """The space of all families. What a choice must not lose to is right behind the default: any budget reaches it.

    That is `dense_candidates`, and CUTLASS's default tile.
    """
    space = space_of(problem, device, all_families())
    wanted = dense_candidates(problem, device)
    if CutlassB1().why_not_at_all(problem, device) is None:
        wanted.append(CutlassB1().baseline(problem, device))
    ahead = [config for config in wanted if config in set(space.configs)]
    return replace(space, configs=tuple(dict.fromkeys((*space.configs[:1], *ahead, *space.configs[1:]))))
