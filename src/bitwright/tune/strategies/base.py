"""What a strategy is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..config import Config
from ..history import History
from ..template import Space


@dataclass(frozen=True)
class Trial:
    """Candidates to measure next, in turn."""

    configs: tuple[Config, ...]
    repeats: int


class Strategy(ABC):
    """Proposes trials; whoever drives it measures one and adds the samples to `history` before asking for the next.

    A strategy never looks at a clock: the driver stops it when the budget is spent, and what was measured counts.
    """

    name: ClassVar[str]

    @abstractmethod
    def trials(self, space: Space, history: History, rng: np.random.Generator) -> Iterator[Trial]:
        """The trials, one after the other. `rng` is the only source of chance."""


def rungs(configs: tuple[Config, ...], history: History, repeats: tuple[int, ...], keep: float) -> Iterator[Trial]:
    """Successive halving: each rung measures more often what was best in the one before; the share `keep` stays.

    Candidates that failed fall out by themselves: they have no samples.
    """
    left = configs
    for number, times in enumerate(repeats):
        if number:
            ranked = history.ranked(left)
            left = tuple(ranked[: max(1, round(len(left) * keep))])
        if not left:
            return
        yield Trial(left, times)
        if len(left) == 1:
            return
