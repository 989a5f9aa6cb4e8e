"""What measures candidates: the interface, and a runner of recorded timings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from .config import Config
from .errors import TuneError


class Runner(Protocol):
    """Builds and times candidates of one problem on one device.

    A runner checks a candidate before its first timing: random data, output poisoned before, guard bands around it,
    every bit equal to the reference.
    """

    def measure(self, configs: Sequence[Config], repeats: int) -> dict[Config, list[float]]:
        """Seconds of `repeats` calls of each candidate, taken in turn.

        A candidate that cannot be built or gives a wrong result is missing, and `failures` says why.
        """
        ...

    @property
    def failures(self) -> Mapping[Config, str]:
        """Candidates that failed so far, with the reason."""
        ...


class FakeClock:
    """A clock that only a runner of recorded timings moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class RecordedRunner:
    """Replays timings: what strategies are compared on, without the device.

    Args:
        seconds: the true time of each candidate.
        noise: relative standard deviation of a sample.
        seed: of the noise.
        clock: moved by what a measurement would have taken.
        build_seconds: of a build, counted once for configs that share it.
        broken: candidates that fail, with the reason.
    """

    def __init__(
        self,
        seconds: Mapping[Config, float],
        *,
        noise: float = 0.0,
        seed: int = 0,
        clock: FakeClock | None = None,
        build_seconds: float = 0.0,
        broken: Mapping[Config, str] | None = None,
    ) -> None:
        self._seconds = dict(seconds)
        self._noise = noise
        self._rng = np.random.default_rng(seed)
        self._clock = clock or FakeClock()
        self._build_seconds = build_seconds
        self._built: set[Config] = set()
        self._broken = dict(broken or {})
        self._failures: dict[Config, str] = {}
        self.evaluations = 0

    @property
    def clock(self) -> Callable[[], float]:
        return self._clock

    @property
    def failures(self) -> Mapping[Config, str]:
        return self._failures

    def measure(self, configs: Sequence[Config], repeats: int) -> dict[Config, list[float]]:
        result: dict[Config, list[float]] = {}
        for config in configs:
            if config not in self._seconds:
                raise TuneError(f"no timing was recorded for {config}")
            if config.build not in self._built:
                self._built.add(config.build)
                self._clock.now += self._build_seconds
            if config in self._broken:
                self._failures[config] = self._broken[config]
                continue
            true = self._seconds[config]
            # noise of real timings is one-sided: something else runs, never something faster
            samples = true * (1 + np.abs(self._rng.normal(0, self._noise, repeats)))
            self._clock.now += float(samples.sum())
            self.evaluations += 1
            result[config] = [float(s) for s in samples]
        return result
