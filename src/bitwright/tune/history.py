"""What a search has measured so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median, quantiles

from .config import Config


class History:
    """Samples of each candidate, in seconds; all are kept."""

    def __init__(self, samples: Mapping[Config, Iterable[float]] | None = None) -> None:
        self._samples: dict[Config, list[float]] = {c: list(s) for c, s in (samples or {}).items()}

    def add(self, samples: Mapping[Config, Iterable[float]]) -> None:
        """Appends new samples."""
        for config, seconds in samples.items():
            self._samples.setdefault(config, []).extend(seconds)

    def __contains__(self, config: Config) -> bool:
        return bool(self._samples.get(config))

    def __len__(self) -> int:
        return sum(map(bool, self._samples.values()))

    @property
    def samples(self) -> dict[Config, tuple[float, ...]]:
        """All samples."""
        return {config: tuple(s) for config, s in self._samples.items() if s}

    def time(self, config: Config) -> float:
        """The median; infinite for a candidate without samples."""
        own = self._samples.get(config)
        return median(own) if own else float("inf")

    def noise(self, config: Config) -> float:
        """Half the distance between the quartiles, relative to the median; 0 for fewer than 3 samples."""
        own = self._samples.get(config, [])
        if len(own) < 3:
            return 0.0
        low, middle, high = quantiles(own, n=4)
        return (high - low) / 2 / middle if middle else 0.0

    def ranked(self, configs: Iterable[Config] | None = None) -> list[Config]:
        """Candidates by median; of equal ones the earlier first."""
        wanted = self._samples if configs is None else configs
        return sorted((c for c in wanted if c in self), key=self.time)
