"""Candidates by chance: what a strategy has to beat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..history import History
from ..template import Space
from .base import Strategy, Trial


class RandomSearch(Strategy):
    """A random order, without repetition."""

    name = "random"

    def __init__(self, count: int = 50, repeats: int = 10) -> None:
        self.count, self.repeats = count, repeats

    def trials(self, space: Space, history: History, rng: np.random.Generator) -> Iterator[Trial]:
        order = rng.permutation(len(space.configs))[: self.count]
        for start in range(0, len(order), 8):
            yield Trial(tuple(space.configs[i] for i in order[start : start + 8]), self.repeats)
