"""Which build first, then how to call it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..config import Config
from ..history import History
from ..template import Space
from .base import Strategy, Trial, rungs


class TwoStage(Strategy):
    """Every build with its first run-time parameters, by successive halving; then all run-time parameters of the 10
    best builds, the same way.

    Run-time parameters (swizzle, split of K, blocking, threads) shift a build's time far less than builds differ from
    each other, so the first stage finds the builds that matter (1.003 and 1.000 of the optimum for 5 and 10 builds in a
    study of 1,440 CPU configs of eight shapes; measured for the design of this tuner).
    """

    name = "two_stage"

    def __init__(self, builds: int = 10, repeats: tuple[int, ...] = (3, 10, 50), keep: float = 0.25) -> None:
        self.builds, self.repeats, self.keep = builds, repeats, keep

    def trials(self, space: Space, history: History, rng: np.random.Generator) -> Iterator[Trial]:
        of_build: dict[Config, list[Config]] = {}
        for config in space.configs:
            of_build.setdefault(config.build, []).append(config)
        first = tuple(configs[0] for configs in of_build.values())
        yield from rungs(first, history, self.repeats, self.keep)
        best = [config.build for config in history.ranked(first)[: self.builds]]
        second = tuple(config for build in best for config in of_build[build])
        if len(second) > len(best):
            yield from rungs(second, history, self.repeats, self.keep)
