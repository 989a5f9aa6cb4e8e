"""Tuning a compiled model: how each layer runs, within a budget, every timing kept."""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .config import Config
from .device import this_cpu
from .history import History
from .problem import Problem
from .search import seconds_of
from .store import Record, Store

if TYPE_CHECKING:
    from bitwright.runtime import Session
    from bitwright.runtime.tuning import Entry, TunableOp

    from .cuda.tuning import GpuReport

FAMILY, VERSION = "engine_layer", 2
Progress = Callable[[int, int, str], None]
"""Gets the layers done, their number, the name of the one that comes."""


@dataclass(frozen=True)
class LayerResult:
    """One layer with a choice. Times are nanoseconds, medians."""

    index: int
    name: str
    kind: str
    standard: str  # the kernel that rules choose
    kernel: str  # the choice: kernel, tile, items, threads; see `bitwright.runtime.Session.use_kernels`
    gain: float  # standard time / chosen time, measured again after the choice
    ns: dict[str, int]  # of each choice that was timed; empty if the budget ended before
    source: str  # "measured", "same" (an equal layer was), "known" (before), or "budget"

    @property
    def before(self) -> int | None:
        return self.ns.get(self.standard)

    @property
    def after(self) -> int | None:
        """By the gain, so that it is not the luckiest of many timings."""
        return None if self.before is None else round(self.before / self.gain)


@dataclass
class ModelReport:
    """What tuning a model found; the session runs with it already."""

    layers: list[LayerResult] = field(default_factory=list)
    spent: float = 0.0
    complete: bool = True
    interrupted: bool = False

    @property
    def changed(self) -> int:
        """Layers that do not run as by the rules."""
        return sum(layer.kernel != layer.standard for layer in self.layers)

    @property
    def speedup(self) -> float:
        """Sum of the standard times over that of the chosen ones, over all layers with a choice."""
        timed = [(layer.before, layer.after) for layer in self.layers]
        before = sum(b for b, a in timed if b is not None and a is not None)
        after = sum(a for b, a in timed if b is not None and a is not None)
        return before / after if after else 1.0

    def __str__(self) -> str:
        end = "" if self.complete else ", interrupted" if self.interrupted else ", the budget ended"
        return (
            f"{len(self.layers)} layers with a choice, {self.changed} changed, these layers together "
            f"{self.speedup:.2f}x as fast as by the built-in rules ({self.spent:.1f} s{end})"
        )


def tune_session(
    session: Session,
    *,
    batch: int = 1,
    budget: float | str | None = None,
    store: Store | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> ModelReport:
    """Chooses how each layer runs by timing (kernel, register tile, size of work items, threads), heaviest layer first,
    and makes the session use the choices.

    Answers stay the same bit for bit. What wins is timed again against the rules' choice, and taken if it is faster by
    more than 2 %. Timings go to `store`, decisions also to the cache that `Session(tune=True)` reads.

    Args:
        session: of a compiled model.
        batch: samples of the runs to come.
        budget: seconds, or "30s"; layers that it does not reach keep their standard kernel.
        store: where timings are kept; by default the user's. Layers that it knows are not timed again.
        again: times known layers too.
        progress: called before each layer.

    Raises:
        ValueError: the kernels of the session are forced.
        TuneError: a bad budget.

    Ctrl-C ends the search; what was found is kept and used.
    """
    from bitwright.runtime.tuning import TuningCache, default_cache_path

    limit = seconds_of(budget)
    keep = store if store is not None else Store()
    decisions = TuningCache(default_cache_path() if store is None else keep.folder / "tuning.json")
    started = time.perf_counter()
    environment, ops = this_cpu().environment, session.ops()
    layers = sorted(session.tunable(batch=batch), key=lambda layer: -_macs(ops[layer["index"]]))
    report, found = ModelReport(), {}
    sources: dict[str, str] = {}
    try:
        for done, layer in enumerate(layers):
            if progress is not None:
                progress(done, len(layers), layer["name"])
            key = layer["key"]
            known = None if again or key in found else decisions.get(key, layer["kernels"])
            if known is not None:
                found[key], sources[key] = known[0], "known"
            elif key not in found and time.perf_counter() - started < limit:
                timed = session.time_kernels(layer["index"], batch=batch)
                # kept at once, so that an interruption loses nothing
                keep.put(_record(environment, layer, ops[layer["index"]], batch, timed))
                decisions.put({key: timed})
                found[key], sources[key] = timed, "measured"
    except KeyboardInterrupt:
        report.interrupted = True
    first = set()
    for layer in layers:
        key = layer["key"]
        entry = found.get(key)
        source = "budget" if entry is None else "same" if key in first and sources[key] == "measured" else sources[key]
        first.add(key)
        report.layers.append(
            LayerResult(
                layer["index"],
                layer["name"],
                layer["kind"],
                layer["kernels"][0],
                layer["kernels"][0] if entry is None else entry["kernel"],
                1.0 if entry is None else entry["gain"],
                {} if entry is None else dict(entry["ns"]),
                source,
            )
        )
    report.layers.sort(key=lambda layer: layer.index)
    report.complete = len(found) == len({layer["key"] for layer in layers})
    report.spent = time.perf_counter() - started
    session.use_kernels({r.index: r.kernel for r in report.layers if r.kernel != r.standard})
    return report


def _macs(op: Mapping[str, Any]) -> int:
    """Of one sample, of any kind."""
    return int(op["binary_macs"] + op["int8_macs"] + op["float_macs"])


def _config(choice: str) -> Config:
    """Of a text such as "bconv_avx2/3x64 pixels=64 threads=1"; what is not in it is as by the rules."""
    kernel, *settings = choice.split(" ")
    name, _, tile = kernel.partition("/")
    run = {key: int(value) for key, _, value in (setting.partition("=") for setting in settings)}
    return Config.of(FAMILY, {"kernel": name, **({"tile": tile} if tile else {})}, **run)


def _record(environment: str, layer: TunableOp, op: Mapping[str, Any], batch: int, entry: Entry) -> Record:
    """The timings of one layer for the store."""
    depth, height, width, channels = op["out_shape"]
    pixels = depth * height * width
    length = max(1, _macs(op) // max(1, pixels * channels))
    problem = Problem("layer", batch * pixels, channels, length, detail=layer["key"])
    history = History({_config(choice): [ns / 1e9] for choice, ns in entry["ns"].items()})
    today = datetime.date.today().isoformat()
    return Record(environment, problem.bucketed, ((FAMILY, VERSION),), history, (), today)


@contextlib.contextmanager
def during(
    budget: float | str | None = None, *, store: Store | None = None, again: bool = False
) -> Iterator[list[ModelReport | GpuReport]]:
    """Inside the `with` block the first `Session.run` of each session (and batch) tunes it; packed operators on CUDA
    tensors are remembered, and tuned at the end of the block by what is left of the budget.

        with bw.tune(budget="30s") as reports:
            session.run(x)
            frozen(x.cuda())

    The budget is shared by all of the block. Gives the list that the reports go to. Other threads are not affected.
    Arguments and errors as of `tune_session`. A block that ends by an exception tunes nothing on GPUs.
    """
    from bitwright.runtime._active import ACTIVE

    from .cuda.meeting import MEETING, Meeting

    limit = seconds_of(budget)
    started = time.perf_counter()
    reports: list[ModelReport | GpuReport] = []
    meeting = Meeting()
    seen: set[tuple[int, int]] = set()

    def tuner(session: Session, batch: int) -> None:
        left = limit - (time.perf_counter() - started)
        if batch == 0 or (id(session), batch) in seen or left <= 0:
            return
        seen.add((id(session), batch))
        alive.append(session)  # so that its id stays its own
        reports.append(tune_session(session, batch=batch, budget=left, store=store, again=again))

    alive: list[Session] = []
    token, met = ACTIVE.set(tuner), MEETING.set(meeting)
    try:
        yield reports
    finally:
        ACTIVE.reset(token)
        MEETING.reset(met)
    for place, (gpu, problems) in enumerate(meeting.met):
        # what the block's own work took does not count here
        left = (limit - sum(report.spent for report in reports)) / (len(meeting.met) - place)
        if left > 0:
            reports.append(gpu.tune(problems, budget=None if left == math.inf else left, store=store, again=again))
