"""Drives a strategy within a budget and decides."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .config import Config
from .errors import TuneError
from .history import History
from .runner import Runner
from .strategies import Strategy, Trial
from .template import Space

MARGIN = 1.03
"""A candidate replaces the default only if it is faster by more than this: noise changes nothing."""
_TIE_ROUNDS, _TIES = 20, 6
_TOGETHER = 32  # candidates that are taken in turn; between such groups the budget is looked at
_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds_of(budget: float | str | None) -> float:
    """A budget in seconds: a number, or "30s", "2m", "1h"; None is without end.

    Raises:
        TuneError: anything else, or nothing above 0.
    """
    if budget is None:
        return math.inf
    value = budget
    if isinstance(budget, str):
        found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", budget)
        if not found or found[2] not in _UNITS:
            raise TuneError(f"budget is {budget!r}; seconds, or a text such as '30s', '2m' or '1h', is expected")
        value = float(found[1]) * _UNITS[found[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise TuneError(f"budget is {budget!r}; it must be above 0")
    return float(value)


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        best: the chosen candidate.
        default: what runs without tuning, the first candidate.
        history: all samples.
        failures: candidates that could not be built or computed something wrong.
        spent: seconds.
        complete: the strategy came to its end; otherwise the budget was spent, or Ctrl-C was pressed (`interrupted`).
    """

    best: Config
    default: Config
    history: History
    failures: Mapping[Config, str]
    spent: float
    complete: bool
    interrupted: bool = False

    @property
    def speedup(self) -> float:
        """The default's time over the chosen one's."""
        return self.history.time(self.default) / self.history.time(self.best)


def search(
    space: Space,
    strategy: Strategy,
    runner: Runner,
    *,
    budget: float | str | None = None,
    seed: int = 0,
    known: History | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[History], None] | None = None,
) -> Outcome:
    """Looks for the fastest candidate.

    Args:
        space: the candidates; the first is the default.
        strategy: the order of measurements.
        runner: measures.
        budget: seconds, or "30s"; checked between groups of 32 candidates, so the last group may pass it.
        seed: of the strategy's chance.
        known: samples of an earlier search, which are not taken again unless they tie.
        clock: for tests.
        progress: called after each trial.

    Raises:
        TuneError: no candidate at all, or every measured one failed; the message has the reasons.

    Ctrl-C ends the search; what was measured is kept and decided on.
    """
    limit = seconds_of(budget)
    if not space.configs:
        refusals = sorted({reason for _, reason in space.refused}) or ["no family serves this kind of device"]
        raise TuneError(f"{space.problem} has no candidate on {space.device.name}: {'; '.join(refusals[:5])}")
    default = space.configs[0]
    # Samples of another day are compared with nothing of today: the default is always measured anew.
    history = History()
    started = clock()
    complete, interrupted = True, False

    def measure(trial: Trial) -> None:
        history.add(runner.measure(trial.configs, trial.repeats))
        if progress is not None:
            progress(history)

    try:
        measure(Trial((default,), 3))
        skip = _hopeless(known, space) if known is not None else set()
        for trial in strategy.trials(space, history, np.random.default_rng(seed)):
            if clock() - started >= limit:
                complete = False
                break
            left = tuple(c for c in trial.configs if c not in skip)
            for start in range(0, len(left), _TOGETHER):
                if clock() - started >= limit:
                    complete = False
                    break
                measure(Trial(left[start : start + _TOGETHER], trial.repeats))
        ties = _ties(history, space)
        if len(ties) > 1 and complete:
            measure(Trial(ties, _TIE_ROUNDS))
    except KeyboardInterrupt:
        complete, interrupted = False, True
    if not len(history):
        reasons = "; ".join(sorted(set(runner.failures.values()))) or "interrupted before the first measurement"
        raise TuneError(f"{space.problem}: nothing could be measured on {space.device.name}: {reasons}")
    return Outcome(
        _decide(history, space), default, history, dict(runner.failures), clock() - started, complete, interrupted
    )


def _hopeless(known: History, space: Space) -> set[Config]:
    """Candidates that an earlier search found more than twice as slow as its best."""
    ranked = known.ranked(space.configs)
    if not ranked:
        return set()
    limit = 2 * known.time(ranked[0])
    return {config for config in ranked if known.time(config) > limit and config != space.configs[0]}


def _ties(history: History, space: Space) -> tuple[Config, ...]:
    """The default and the candidates that noise may have put behind the best."""
    ranked = history.ranked(space.configs)
    if not ranked:
        return ()
    best = ranked[0]
    near = [c for c in ranked if history.time(c) <= history.time(best) * max(MARGIN, 1 + 2 * history.noise(best))]
    chosen = near[:_TIES]
    if space.configs[0] in history and space.configs[0] not in chosen:
        chosen.append(space.configs[0])
    return tuple(chosen)


def _decide(history: History, space: Space) -> Config:
    """The fastest; of those within 1 % the earliest candidate; the default unless that is faster by `MARGIN`."""
    ranked = history.ranked(space.configs)
    best_time = history.time(ranked[0])
    order = {config: place for place, config in enumerate(space.configs)}
    best = min((c for c in ranked if history.time(c) <= 1.01 * best_time), key=order.__getitem__)
    default = space.configs[0]
    return default if default in history and history.time(default) <= MARGIN * best_time else best
