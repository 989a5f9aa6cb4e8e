"""How good a strategy is: the time that its choice loses against the best of an exhaustive search.

Replays recorded searches; the problem (or the device) that is asked about is left out of what a strategy may know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .config import Config
from .model import CostModel
from .portfolio import choose_portfolio
from .problem import Problem
from .store import Record


@dataclass(frozen=True)
class Regret:
    """Of one way to choose, over several problems.

    Attributes:
        way: what was asked.
        measured: candidates that it measures.
        slowdowns: chosen over best, one a problem.
    """

    way: str
    measured: int
    slowdowns: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Geometric."""
        return math.exp(sum(map(math.log, self.slowdowns)) / len(self.slowdowns))

    @property
    def worst(self) -> float:
        return max(self.slowdowns)


def _distance(a: Problem, b: Problem) -> float:
    return sum(abs(math.log2(x / y)) for x, y in ((a.m, b.m), (a.n, b.n), (a.k, b.k)))


def _slowdown(record: Record, measured: Sequence[Config]) -> float:
    """Of the best among the candidates that were measured."""
    times = [record.history.time(c) for c in measured if c in record.history]
    best = min(map(record.history.time, record.history.samples))
    return min(times) / best if times else math.inf


def compare(records: Sequence[Record], counts: Sequence[int] = (1, 2, 4, 8), *, by: str = "problem") -> list[Regret]:
    """Regret of the portfolio, of the learned model, and of copying the nearest problem's winners, each measuring the
    first few of its candidates.

    Args:
        records: exhaustive searches of the same families.
        counts: how many candidates are measured.
        by: what is left out of the knowledge: the "problem" itself (all others known), or its "device" (environment).

    Raises:
        ValueError: another `by`, or fewer than two groups.
    """
    if by not in ("problem", "device"):
        raise ValueError(f"by is {by!r}; 'problem' or 'device' is expected")

    def group(record: Record) -> object:
        return record.problem if by == "problem" else record.environment

    groups = list(dict.fromkeys(map(group, records)))
    if len(groups) < 2:
        raise ValueError(f"all records are of one {by}; leaving one out needs two at least")
    orders: dict[str, list[tuple[Record, Sequence[Config]]]] = {"portfolio": [], "predict": [], "nearest": []}
    for left_out in groups:
        known = [r for r in records if group(r) != left_out]
        model, chosen = CostModel.train(known), choose_portfolio(known, max(counts))
        for record in (r for r in records if group(r) == left_out):
            configs = list(record.history.samples)
            expected = model.predict(record.problem, configs)
            ranked = [configs[i] for i in sorted(range(len(configs)), key=lambda i: (expected[i], i))]
            near = min(known, key=lambda r: _distance(r.problem, record.problem))
            present = set(configs)
            orders["portfolio"].append((record, [c for c in chosen if c in present]))
            orders["predict"].append((record, ranked))
            orders["nearest"].append((record, [c for c in near.history.ranked() if c in present]))
    return [
        Regret(way, count, tuple(_slowdown(record, order[:count]) for record, order in orders[way]))
        for way in orders
        for count in counts
    ]
