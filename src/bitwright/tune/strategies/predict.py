"""Candidates in the order of a learned model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..history import History
from ..template import Space
from .base import Strategy, Trial, rungs

if TYPE_CHECKING:
    from ..model import CostModel


class Predict(Strategy):
    """Measures the candidates that a model trained on the store expects to be fastest.

    The model only orders; what is chosen was measured. Without a model the analytic cost orders.
    """

    name = "predict"

    def __init__(self, model: CostModel | None = None, count: int = 8, repeats: tuple[int, ...] = (3, 10)) -> None:
        self.model, self.count, self.repeats = model, count, repeats

    def trials(self, space: Space, history: History, rng: np.random.Generator) -> Iterator[Trial]:
        configs = space.configs
        if self.model is not None:
            expected = self.model.predict(space.problem, configs)
            configs = tuple(configs[i] for i in np.argsort(expected, kind="stable"))
        yield from rungs(configs[: self.count], history, self.repeats, 0.5)
