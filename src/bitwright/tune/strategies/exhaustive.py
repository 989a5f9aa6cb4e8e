"""Every candidate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..history import History
from ..template import Space
from .base import Strategy, Trial

_TOGETHER = 32  # candidates of a trial: a budget that runs out has measured whole trials


class Exhaustive(Strategy):
    """Measures every candidate, cheapest guess first."""

    name = "exhaustive"

    def __init__(self, repeats: int = 10) -> None:
        self.repeats = repeats

    def trials(self, space: Space, history: History, rng: np.random.Generator) -> Iterator[Trial]:
        for start in range(0, len(space.configs), _TOGETHER):
            yield Trial(space.configs[start : start + _TOGETHER], self.repeats)
