"""Many candidates a few times, few candidates many times."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..history import History
from ..template import Space
from .base import Strategy, Trial, rungs


class SuccessiveHalving(Strategy):
    """All candidates 3 times, the best quarter 10 times more, the best quarter of those 50 times more."""

    name = "halving"

    def __init__(self, repeats: tuple[int, ...] = (3, 10, 50), keep: float = 0.25) -> None:
        self.repeats, self.keep = repeats, keep

    def trials(self, space: Space, history: History, rng: np.random.Generator) -> Iterator[Trial]:
        yield from rungs(space.configs, history, self.repeats, self.keep)
