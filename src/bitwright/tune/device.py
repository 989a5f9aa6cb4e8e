"""Where a kernel runs, and what its timings hold for."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .config import Parameter


@dataclass(frozen=True)
class Device:
    """A machine as the tuner sees it.

    Attributes:
        kind: "cpu" or "cuda".
        name: for people: the CPU's or GPU's model.
        facts: limits that templates read (cores, caches; compute capability, shared memory, multiprocessors), sorted.
        toolchain: what built the kernels: the engine's build, or driver and NVRTC versions.
    """

    kind: str
    name: str
    facts: tuple[tuple[str, Parameter], ...]
    toolchain: str

    @classmethod
    def of(cls, kind: str, name: str, facts: Mapping[str, Parameter], toolchain: str) -> Device:
        """From a mapping of facts."""
        return cls(kind, name, tuple(sorted(facts.items())), toolchain)

    def __getitem__(self, fact: str) -> Parameter:
        for key, value in self.facts:
            if key == fact:
                return value
        raise KeyError(f"{self.name} has no fact {fact!r}; it has {', '.join(key for key, _ in self.facts)}")

    def number(self, fact: str) -> int:
        """A fact that is a number."""
        value = self[fact]
        if not isinstance(value, int):
            raise TypeError(f"{fact} of {self.name} is {value!r}, not a number")
        return value

    @property
    def environment(self) -> str:
        """What a timing holds for: results of another environment are never used, and never overwritten."""
        facts = " ".join(f"{key}={value}" for key, value in self.facts)
        return f"{self.kind} | {self.name} | {facts} | {self.toolchain}"


def this_cpu(threads: int | None = None) -> Device:
    """This machine's CPU with the engine's kernels.

    Args:
        threads: that a call may use; by default all of the process.
    """
    from bitwright.runtime import available_cpus
    from bitwright.runtime.tuning import machine

    name, isas, toolchain = machine().split(" | ")
    facts: dict[str, Parameter] = {"isas": isas, "threads": threads or available_cpus(), "cpus": available_cpus()}
    facts.update(_caches())
    return Device.of("cpu", name or platform.machine(), facts, toolchain)


def _caches() -> dict[str, int]:
    """Bytes of the data caches that one core sees, as far as the system tells."""
    sizes: dict[str, int] = {}
    base = Path("/sys/devices/system/cpu/cpu0/cache")
    try:
        for index in sorted(os.listdir(base)):
            kind = (base / index / "type").read_text().strip()
            level = (base / index / "level").read_text().strip()
            text = (base / index / "size").read_text().strip()
            if kind in ("Data", "Unified") and text.endswith("K"):
                sizes[f"l{level}"] = int(text[:-1]) << 10
    except (OSError, ValueError):
        return {}
    return sizes
