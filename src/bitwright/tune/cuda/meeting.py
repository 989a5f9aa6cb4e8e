"""The products that operators on GPUs are asked for while a block of `bw.tune` is active in this thread or task."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from ..problem import Problem
from ..store import Store

if TYPE_CHECKING:
    from .tuning import GpuReport


class Tunable(Protocol):
    """What runs products on a GPU."""

    def tune(
        self, problems: Mapping[Problem, int], *, budget: float | None, store: Store | None, again: bool
    ) -> GpuReport:
        """Searches their fastest kernels, and uses them from then on."""
        ...


class Meeting:
    """Collects problems by who runs them."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[Tunable, dict[Problem, int]]] = {}

    @property
    def met(self) -> list[tuple[Tunable, dict[Problem, int]]]:
        """With how often each was asked for."""
        return list(self._met.values())

    def add(self, gpu: Tunable, problem: Problem) -> None:
        """One call."""
        counts = self._met.setdefault(id(gpu), (gpu, {}))[1]
        counts[problem] = counts.get(problem, 0) + 1


MEETING: ContextVar[Meeting | None] = ContextVar("bitwright.meeting", default=None)
