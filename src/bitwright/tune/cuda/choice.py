"""Which kernel runs a problem on a GPU, and why: what was measured, or else the cheapest guess.

The order: the user's store for this GPU, driver and compiler; the nearest bucket there; results shipped with the
package for this model of GPU; the default. A choice is always valid on the GPU; where there is none, `RefusedError`
has the reason of every family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import bundled
from ..config import Config
from ..device import Device
from ..errors import TuneError
from ..problem import Problem
from ..store import Record, Store, fastest
from .families import Build, CudaTemplate, Launch, TorchDense, dense_families, families
from .families.base import finish_build, finish_grid


class RefusedError(TuneError):
    """No kernel serves a problem on a GPU; the message says why."""


@dataclass(frozen=True)
class Choice:
    """A kernel for a problem.

    Attributes:
        problem: with its own m.
        config: of the family.
        source: "measured", "measured for m = 64", "shipped", or "default".
        build, launch: of the kernel.
        finish: what ends a product whose K is split, with its grid; else None.
    """

    problem: Problem
    config: Config
    source: str
    build: Build
    launch: Launch
    finish: tuple[Build, tuple[int, int, int]] | None

    def __str__(self) -> str:
        return f"{self.problem}: {self.config} ({self.source})"


class Chooser:
    """Choices for one GPU, each made once.

    Args:
        device: the GPU.
        store: of measured timings; by default the user's.
        shipped: records of the package; by default those that `bitwright.tune.bundled` has for this model of GPU.
        templates: families that may be the default; by default all of ours. Beside them what was measured may be a
            dense product (`dense`), so that a tuned choice never loses to one.
        dense: families of dense products.
    """

    def __init__(
        self,
        device: Device,
        store: Store | None = None,
        shipped: Sequence[Record] | None = None,
        templates: Sequence[CudaTemplate] | None = None,
        dense: Sequence[CudaTemplate] | None = None,
    ) -> None:
        self.device = device
        self.store = Store() if store is None else store
        self._shipped = bundled.records(device) if shipped is None else list(shipped)
        self._own = list(families() if templates is None else templates)
        more = dense_families() if dense is None else dense
        self._templates = {t.name: t for t in (*self._own, *more)}
        self._measured: list[Record] | None = None
        self._made: dict[tuple[Problem, bool], Choice | RefusedError] = {}

    def forget(self) -> None:
        """Reads the store again at the next question: something was measured."""
        self._measured = None
        self._made = {}

    def choose(self, problem: Problem, packed: bool = False) -> Choice:
        """The kernel that runs a problem.

        Args:
            problem: a product or a convolution.
            packed: whether activations are bits already, so that no dense product can run it.

        Raises:
            RefusedError: none does; the message has the reasons.
        """
        key = problem, packed
        if key not in self._made:
            try:
                self._made[key] = self._choice(problem, *self._config(problem, packed))
            except RefusedError as error:
                self._made[key] = error
        made = self._made[key]
        if isinstance(made, RefusedError):
            raise made
        return made

    def _config(self, problem: Problem, packed: bool) -> tuple[Config, str]:
        if self._measured is None:
            self._measured = self.store.records(self.device.environment)
        versions = {t.name: t.version for t in self._templates.values()}
        names = {t.name for t in self._own}

        def valid(config: Config) -> bool:
            family = self._templates.get(config.template)
            # A stored config is text from a file: only what the family itself names may be built.
            return (
                family is not None
                and (config.template in names or not packed)
                and runs(config)
                and any(config == own for own in family.space(problem, self.device))
                and family.why_invalid(config, problem, self.device) is None
            )

        found = fastest(self._measured, problem, versions, valid)
        if found is not None:
            same = found[1].problem.m == problem.bucketed.m
            return found[0], "measured" if same else f"measured for m = {found[1].problem.m}"
        found = fastest(self._shipped, problem, versions, valid)
        if found is not None:
            return found[0], "shipped"
        shipped = [config for config in bundled.portfolio("cuda") if valid(config)]
        best = cheapest(problem, self.device, self._own, [c for c in shipped if c.template in names])
        return best, "default"

    def _choice(self, problem: Problem, config: Config, source: str) -> Choice:
        family = self._templates[config.template]
        build, launch = family.build_of(config, problem, self.device), family.launch_of(config, problem)
        finish = None
        if launch.split > 1 and config.template != TorchDense.name:
            last = finish_build(problem, build.logic)
            finish = (last, finish_grid(problem, last))
        return Choice(problem, config, source, build, launch, finish)


def runs(config: Config) -> bool:
    """Whether the torch operators can run a config: of torch's own products those of bytes."""
    return config.template != TorchDense.name or config.parameters.get("type") == "s8"


def cheapest(
    problem: Problem, device: Device, templates: Sequence[CudaTemplate], portfolio: Sequence[Config] = ()
) -> Config:
    """The default: of a portfolio's configs, or without any of all builds of all families, that of least analytic cost.

    The order in which blocks are walked (swizzle) is left at its first value: the cost does not see it.

    Raises:
        RefusedError: no config is valid.
    """
    family_of = {t.name: t for t in templates}
    best: tuple[float, Config] | None = None
    reasons: dict[str, None] = {}
    candidates = list(portfolio)
    if not candidates:
        for template in templates:
            reason = template.why_not_at_all(problem, device)
            if reason is not None:
                reasons[reason] = None
            else:
                candidates += (c for c in template.space(problem, device) if c.parameters.get("swizzle", 1) == 1)
    for config in candidates:
        template = family_of[config.template]
        why = template.why_invalid(config, problem, device)
        if why is not None:
            if len(reasons) < 16:
                reasons[why] = None
            continue
        cost = template.cost(config, problem, device)
        if best is None or cost < best[0]:
            best = cost, config
    if best is None:
        raise RefusedError(f"no kernel for {problem} on {device.name}: {'; '.join(reasons)}")
    return best[1]


def explain(problem: Problem, device: Device | None = None, store: Store | None = None) -> str:
    """What would run a problem, or why nothing would: "gemm …: wgmma_b1 bk=… (default)", or the reasons.

    Args:
        problem: a product or a convolution (`Conv2d.problem`).
        device: by default the first GPU of this machine; `model("h100")` needs none.
        store: of measured timings; by default the user's.

    Raises:
        TuneError: no device is given and this machine has no GPU.
    """
    from .devices import this_gpu

    try:
        return str(Chooser(this_gpu() if device is None else device, store).choose(problem))
    except RefusedError as error:
        return str(error)
