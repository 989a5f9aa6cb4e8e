"""Interleaved timing: every competitor runs once a round, in turn, so a change of the machine's speed hits all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds a call of one competitor, one entry a round.

    Attributes:
        name: the competitor.
        seconds: mean seconds of a call in each round, in order.
    """

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median seconds a call."""
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        """Fastest round, seconds a call."""
        return min(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile, seconds a call: how noisy the machine was."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return low, high


def interleave(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 31,
    seconds_a_sample: float = 0.005,
    warmup: float = 0.05,
) -> dict[str, Timing]:
    """Time several functions in turn: A B C, A B C, …

    Args:
        runs: name -> function without arguments.
        rounds: samples of each (medians are taken over them).
        seconds_a_sample: a sample repeats the call until about this long, so the clock's resolution does not matter.
        warmup: seconds that each function runs before the first sample.

    Returns:
        name -> Timing.

    Raises:
        ValueError: nothing to run, or `rounds` below 1.
    """
    if not runs:
        raise ValueError("interleave: no functions to time")
    if rounds < 1:
        raise ValueError(f"interleave: rounds = {rounds}, must be 1 or more")
    repeats: dict[str, int] = {}
    for name, function in runs.items():
        calls, start = 0, time.perf_counter()
        while calls < 2 or time.perf_counter() - start < warmup:
            function()
            calls += 1
        repeats[name] = max(1, round(seconds_a_sample * calls / (time.perf_counter() - start)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, function in runs.items():
            count = repeats[name]
            start = time.perf_counter()
            for _ in range(count):
                function()
            samples[name].append((time.perf_counter() - start) / count)
    return {name: Timing(name, tuple(values)) for name, values in samples.items()}


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times faster `fast` is: the median of the ratios of the same round.

    Raises:
        ValueError: the two were not timed in the same number of rounds.
    """
    if len(slow.seconds) != len(fast.seconds):
        raise ValueError(
            f"ratio: {slow.name} has {len(slow.seconds)} rounds, {fast.name} {len(fast.seconds)}; time them in one call"
        )
    return statistics.median(a / b for a, b in zip(slow.seconds, fast.seconds, strict=True))
