"""A family of kernels: which variants it has, which of them a device and a problem allow, how they are built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from .config import Config
from .device import Device
from .problem import Problem


class Template(ABC):
    """One family. Everything here is pure: it runs, and is tested, without the device.

    Building and calling a config is the business of a runner (`runner.py`) that knows the device. A family has one
    layout of packed weights for all its configs (`layout`), so that choosing another tile never repacks.
    """

    name: ClassVar[str]
    version: ClassVar[int]  # results of another version are not used
    kind: ClassVar[str]  # of the devices: "cpu", "cuda"
    layout: ClassVar[str]  # of packed weights

    @abstractmethod
    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        """Every config, valid or not, the default one first."""

    @abstractmethod
    def why_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        """The reason why a config cannot run, or None."""

    @abstractmethod
    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        """An analytic guess of the time, in any unit: it orders candidates and decides nothing."""


@dataclass(frozen=True)
class Space:
    """The candidates of a problem on a device.

    Attributes:
        configs: valid ones, by analytic cost; those of `portfolio` first, in its order.
        portfolio: how many of them belong to the shipped portfolio.
        refused: every other one, with the reason.
    """

    problem: Problem
    device: Device
    configs: tuple[Config, ...]
    portfolio: int
    refused: tuple[tuple[Config, str], ...]


def space_of(
    problem: Problem, device: Device, templates: Sequence[Template], portfolio: Sequence[Config] = ()
) -> Space:
    """All candidates of several families. The dense baseline is a family like any other."""
    valid: list[tuple[float, Config]] = []
    refused: list[tuple[Config, str]] = []
    for template in templates:
        if template.kind != device.kind:
            continue
        for config in template.space(problem, device):
            reason = template.why_invalid(config, problem, device)
            if reason is None:
                valid.append((template.cost(config, problem, device), config))
            else:
                refused.append((config, reason))
    found = {config for _, config in valid}
    first = [config for config in dict.fromkeys(portfolio) if config in found]
    # sorted() is stable: of equal cost the family's own order decides
    rest = [config for _, config in sorted(valid, key=lambda item: item[0]) if config not in set(first)]
    return Space(problem, device, (*first, *dict.fromkeys(rest)), len(first), tuple(refused))
