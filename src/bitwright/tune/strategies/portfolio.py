"""The few configs that were best elsewhere, measured on the problem at hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..history import History
from ..template import Space
from .base import Strategy, Trial

_WITHOUT = 8  # by analytic cost, for devices that no portfolio was made for


class Portfolio(Strategy):
    """Measures the shipped portfolio; without one, the 8 candidates of least analytic cost."""

    name = "portfolio"

    def __init__(self, repeats: int = 10) -> None:
        self.repeats = repeats

    def trials(self, space: Space, history: History, rng: np.random.Generator) -> Iterator[Trial]:
        configs = space.configs[: space.portfolio or _WITHOUT]
        if configs:
            yield Trial(configs, self.repeats)
