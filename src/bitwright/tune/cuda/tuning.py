"""Tuning the products that something needs on a GPU: each within its share of a budget, every timing kept."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .. import bundled
from ..config import Config
from ..device import Device
from ..errors import TuneError
from ..history import History
from ..problem import Problem
from ..search import Outcome, search, seconds_of
from ..store import Record, Store
from ..strategies import strategy_of
from ..template import space_of
from .choice import Chooser, RefusedError
from .families import CudaTemplate, dense_candidates, dense_families, families
from .gpu import Machine
from .runner import CudaRunner

_DENSE_REPEATS = 10
Progress = Callable[[int, int, str], None]
"""Gets the problems done, their number, the text of the one that comes."""


@dataclass(frozen=True)
class ShapeResult:
    """One problem. Times are seconds, medians, the L2 cache cold.

    Attributes:
        problem: with the m that was measured.
        count: how often it was asked for.
        outcome: of the search; None if nothing was measured.
        source: "measured", "known" (before), "budget" (it ended before), or the reason of a refusal or failure.
        warm: time of the chosen kernel with what it reads in the L2 cache, if it was measured.
        dense: time of the fastest dense product of the same numbers, unpacked ahead, if one was measured.
        chosen: what runs from now on: the search's best, or a dense product that was faster.
    """

    problem: Problem
    count: int
    outcome: Outcome | None
    source: str
    warm: float | None = None
    dense: float | None = None
    chosen: Config | None = None

    @property
    def before(self) -> float | None:
        """Of the default."""
        return None if self.outcome is None else self.outcome.history.time(self.outcome.default)

    @property
    def after(self) -> float | None:
        """Of what was chosen."""
        return None if self.outcome is None else self.outcome.history.time(self.chosen or self.outcome.best)


@dataclass
class GpuReport:
    """What tuning on a GPU found; the next calls use it."""

    device: Device
    shapes: list[ShapeResult] = field(default_factory=list)
    spent: float = 0.0
    complete: bool = True
    interrupted: bool = False

    @property
    def speedup(self) -> float:
        """Sum of the defaults' times over that of the chosen kernels, over all problems that were measured."""
        timed = [(s.count, s.before, s.after) for s in self.shapes]
        before = sum(c * b for c, b, a in timed if b is not None and a is not None)
        after = sum(c * a for c, b, a in timed if b is not None and a is not None)
        return before / after if after else 1.0

    @property
    def over_dense(self) -> float | None:
        """Sum of the dense products' times over that of the chosen kernels; None if no dense one was measured."""
        timed = [(s.count, s.dense, s.after) for s in self.shapes]
        dense = sum(c * d for c, d, a in timed if d is not None and a is not None)
        after = sum(c * a for c, d, a in timed if d is not None and a is not None)
        return dense / after if after else None

    def __str__(self) -> str:
        measured = sum(s.outcome is not None for s in self.shapes)
        end = "" if self.complete else ", interrupted" if self.interrupted else ", the budget ended"
        return (
            f"{len(self.shapes)} products on {self.device.name}, {measured} measured, these together "
            f"{self.speedup:.2f}x as fast as by default{self._beside_dense()} ({self.spent:.1f} s{end})"
        )

    def _beside_dense(self) -> str:
        if self.over_dense is None:
            return ""
        slower = sum(s.dense is not None and s.after is not None and s.dense < s.after for s in self.shapes)
        but = f" (for {slower} of them a dense one is faster)" if slower else ""
        return f", {self.over_dense:.2f}x as fast as dense products{but}"


def _dense_times(runner: CudaRunner, problem: Problem, device: Device) -> dict[Config, list[float]]:
    """Timings of dense products, those that cannot run left out."""
    return runner.measure(dense_candidates(problem, device), _DENSE_REPEATS)


def tune_problems(
    problems: Mapping[Problem, int],
    device: Device,
    machine: Callable[[], Machine],
    *,
    budget: float | str | None = None,
    strategy: str = "two_stage",
    store: Store | None = None,
    again: bool = False,
    templates: Sequence[CudaTemplate] | None = None,
    dense: bool = True,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> GpuReport:
    """Searches the fastest kernel of each problem, heaviest first.

    A problem's share of what is left of the budget is that of its multiply-accumulates, and at least half of an equal
    share. Every timing is kept at once. Ctrl-C ends the search; what was found is kept.

    Args:
        problems: with how often each is asked for. Of several in one bucket the first is measured for all.
        device: the GPU.
        machine: makes what measures on it, for one problem.
        budget: seconds, or "30s".
        strategy: of the search, see `bitwright.tune.strategies`.
        store: where timings are kept and known ones are found; by default the user's.
        again: measures known problems too.
        templates: families; by default all that can run a model.
        dense: times dense products of the same numbers as well, so that the report says what the bits bring.
        progress: called before each problem.
        clock: for tests.

    Raises:
        TuneError: a bad budget, or an unknown strategy.
    """
    limit, plan = seconds_of(budget), strategy_of(strategy)
    keep = Store() if store is None else store
    known = families() if templates is None else list(templates)
    chooser = Chooser(device, keep, templates=known)
    merged: dict[Problem, tuple[Problem, int]] = {}
    for problem, count in problems.items():
        first, so_far = merged.get(problem.bucketed, (problem, 0))
        merged[problem.bucketed] = (first, so_far + count)
    todo = sorted(merged.values(), key=lambda item: -item[0].products * item[1])
    report, started = GpuReport(device), clock()
    for place, (problem, count) in enumerate(todo):
        if progress is not None:
            progress(place, len(todo), str(problem))
        left = limit - (clock() - started)
        if report.interrupted or left <= 0:
            report.shapes.append(ShapeResult(problem, count, None, "budget"))
            report.complete = False
            continue
        try:
            choice = chooser.choose(problem)
            if choice.source == "measured" and not again:
                report.shapes.append(ShapeResult(problem, count, None, "known"))
                continue
            rest = [p.products * c for p, c in todo[place:]]
            share = left * max(rest[0] / sum(rest), 0.5 / len(rest))
            space = space_of(problem, device, known, (choice.config, *bundled.portfolio("cuda")))
            gpu = machine()
            try:
                runner = CudaRunner(problem, device, gpu, templates=[*known, *dense_families()])
                outcome = search(space, plan, runner, budget=share, clock=clock)
                beside = _dense_times(runner, problem, device) if dense and not outcome.interrupted else {}
            finally:
                gpu.release()
        except RefusedError as error:
            report.shapes.append(ShapeResult(problem, count, None, f"no kernel: {error}"))
            continue
        except TuneError as error:
            report.shapes.append(ShapeResult(problem, count, None, f"failed: {error}"))
            continue
        outcome.history.add(beside)
        versions = tuple(sorted((t.name, t.version) for t in [*known, *dense_families()]))
        today = datetime.date.today().isoformat()
        warm = History(runner.warm)
        failures = tuple(outcome.failures.items())
        keep.put(Record(device.environment, problem.bucketed, versions, outcome.history, failures, today, warm))
        chooser.forget()
        chosen = chooser.choose(problem).config
        seconds = warm.time(chosen) if chosen in warm else None
        fastest = min((outcome.history.time(config) for config in beside), default=None)
        report.shapes.append(ShapeResult(problem, count, outcome, "measured", seconds, fastest, chosen))
        report.interrupted |= outcome.interrupted
        report.complete &= outcome.complete
    report.spent = clock() - started
    return report
