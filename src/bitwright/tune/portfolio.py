"""Which few candidates to ship: together they should be near the best of every problem seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .config import Config
from .store import Record


def choose_portfolio(records: Sequence[Record], size: int) -> tuple[Config, ...]:
    """Greedily, the candidates that bring the geometric mean of (best of the portfolio / best of all) down most.

    A problem that a portfolio does not cover counts 10 times its best. Ties go to the candidate named first.
    """
    best = [min(map(r.history.time, r.history.samples)) for r in records]
    everything = list(dict.fromkeys(c for r in records for c in r.history.samples))
    chosen: list[Config] = []
    have = [10 * b for b in best]

    def loss(config: Config) -> float:
        times = (min(h, r.history.time(config)) for h, r in zip(have, records, strict=True))
        return sum(math.log(t / b) for t, b in zip(times, best, strict=True))

    while everything and len(chosen) < size:
        winner = min(everything, key=loss)
        everything.remove(winner)
        chosen.append(winner)
        have = [min(h, r.history.time(winner)) for h, r in zip(have, records, strict=True)]
    return tuple(chosen)
