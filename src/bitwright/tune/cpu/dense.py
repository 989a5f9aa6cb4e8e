"""The dense baseline: what the same product costs without bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ..config import Config
from ..device import Device
from ..formats import limit_of
from ..problem import Problem
from ..template import Template

_EXACT = 1 << 24  # float32 holds every integer up to here


class DenseProducts(Template):
    """numpy's float32 product (its BLAS, with the threads that it takes) of numbers unpacked before.

    Always a candidate, so that what is chosen never loses to dense, and the report is honest. Exact as long as no sum
    exceeds 2^24.
    """

    name: ClassVar[str] = "numpy_f32"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "cpu"
    layout: ClassVar[str] = "float32"

    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        yield Config.of(self.name)

    def why_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        if problem.op != "gemm" or problem.out != "s32":
            return f"the family computes matrix products into s32, not {problem.op} into {problem.out}"
        if "f16" in (problem.a, problem.w):
            return "real activations have no exact integer product"
        if limit_of(problem.a, problem.w, problem.k) > _EXACT:
            return f"sums of {problem.k} products exceed 2^24, beyond which float32 has no exact integers"
        return None

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        return 100.0
