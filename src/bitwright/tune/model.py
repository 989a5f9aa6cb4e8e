"""A small learned model of times: it orders candidates for shapes and devices that were never measured.

The idea is that of Guo et al. (Big Data Mining and Analytics 9(2), 2026: a neural network selects among CUTLASS
templates); the model here is ours: ridge regression on the logarithm of the time, with the parameters of a config
crossed with the logarithms of the problem's sizes. It is trained in milliseconds, needs numpy alone, and is judged by
the time lost against exhaustive search (`regret.py`), never by how often it guesses the winner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .config import Config
from .errors import TuneError
from .problem import Problem
from .store import Record

Floats = NDArray[np.float64]
_RIDGE = 1.0


def _size_features(problem: Problem) -> list[float]:
    m, n, k = (math.log2(v) for v in (problem.m, problem.n, problem.k))
    return [1.0, m / 10, n / 10, k / 10, m * m / 100, n * n / 100, k * k / 100, m * n / 100, m * k / 100, n * k / 100]


def _terms(config: Config) -> list[str]:
    """What a config says of itself: its family, each parameter, and each pair of parameters."""
    single = [
        config.template,
        *(f"{config.template}.{key}={value}" for key, value in sorted(config.parameters.items())),
    ]
    pairs = [f"{a} & {b}" for i, a in enumerate(single[1:]) for b in single[i + 2 :]]
    return single + pairs


class CostModel:
    """Times relative to the mean of a problem's candidates, which is all that an order needs.

    Attributes:
        terms: what the training data's configs said of themselves; others count as unknown.
    """

    def __init__(self, terms: Sequence[str], weights: Floats) -> None:
        self.terms = {term: place for place, term in enumerate(terms)}
        self._weights = weights

    @classmethod
    def train(cls, records: Iterable[Record]) -> CostModel:
        """From all samples of the records.

        Raises:
            TuneError: fewer than two candidates of one problem: there is no order to learn.
        """
        used = [r for r in records if len(r.history) >= 2]
        if not used:
            raise TuneError("no record holds two candidates of one problem; tune something first")
        terms = sorted({t for r in used for c in r.history.samples for t in _terms(c)})
        model = cls(terms, np.zeros(0))
        rows: list[Floats] = []
        targets: list[float] = []
        for record in used:
            times = {c: math.log(max(record.history.time(c), 1e-9)) for c in record.history.samples}
            middle = sum(times.values()) / len(times)
            features = model._features(record.problem, list(times))
            rows.extend(features - features.mean(0))
            targets.extend(t - middle for t in times.values())
        x, y = np.stack(rows), np.asarray(targets)
        # as many unknowns as samples or more: the smaller of the two normal equations
        if x.shape[0] <= x.shape[1]:
            weights = x.T @ np.linalg.solve(x @ x.T + _RIDGE * np.eye(len(x)), y)
        else:
            weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ y)
        model._weights = weights
        return model

    def _features(self, problem: Problem, configs: Sequence[Config]) -> Floats:
        sizes = np.asarray(_size_features(problem))
        present = np.zeros((len(configs), len(self.terms)))
        for row, config in enumerate(configs):
            for term in _terms(config):
                if term in self.terms:
                    present[row, self.terms[term]] = 1.0
        return (present[:, :, None] * sizes).reshape(len(configs), -1)

    def predict(self, problem: Problem, configs: Sequence[Config]) -> Floats:
        """Logarithms of times, up to a constant of the problem."""
        return np.asarray(self._features(problem, configs) @ self._weights)
