"""`bitwright tune`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bitwright.cli._command import print_table, run_command

if TYPE_CHECKING:
    from bitwright.tune import Device, LayerResult, Problem, Store
    from bitwright.tune.cuda import ShapeResult


def tune(
    model: str,
    *,
    budget: str | None = None,
    batch: int = 1,
    threads: int = 1,
    again: bool = False,
    store: str | None = None,
    export: str | None = None,
    merge: str | None = None,
    t4: str | None = None,
    device: str = "cpu",
    strategy: str = "two_stage",
    dry_run: bool = False,
) -> int:
    """Choose how each layer of a .bwm runs by timing on this machine (kernel, register tile, size of work items,
    threads); keep every timing.

    Answers stay the same bit for bit. Afterwards `Session(..., tune=True)` and `bitwright profile --tune` take the
    choices without timing anything; with --device cuda:0 the packed operators of torch (a frozen model on that GPU)
    do. Ctrl-C keeps what was found.

    Args:
        model: the .bwm file.
        budget: for all layers: 30s, 2m, ... ; without it as long as it takes (some 80 ms a layer).
        batch: samples of the runs to come.
        threads: threads of the engine; 0 for as many as the process may use.
        again: time layers too whose times are known.
        store: folder of the timings; by default in the user's cache.
        export: write all timings of the store to this file, for another machine or a data set.
        merge: first add the timings of an exported file.
        t4: write this machine's timings as JSON in Kernel Tuner's T4 format, one file a problem, into this folder.
        device: cpu, or cuda:0, cuda:1, ... : the GPU to tune the model's products for.
        strategy: of the search on a GPU: portfolio (quick), two_stage, halving, exhaustive, ...
        dry_run: only list a GPU's products, candidates and what would run; needs no GPU where --device is the name of
            a known one, such as h100.
    """
    if device != "cpu":
        return _on_gpu(model, device, batch, budget, strategy, again, store, export, merge, t4, dry_run)
    if dry_run:
        raise ValueError("--dry-run lists what a GPU would be asked for; give --device cuda:0, or a name such as h100")
    from bitwright.runtime import Session
    from bitwright.tune import Store, this_cpu, tune_session
    from bitwright.tune.t4 import write_t4_folder

    timings = Store(store)
    if merge is not None:
        print(f"merged {timings.load(merge)} new records of {merge} into {timings.folder}")
    session = Session(model, threads=threads)
    given = None if store is None else timings
    with _Bar() as bar:
        report = tune_session(session, batch=batch, budget=budget, store=given, again=again, progress=bar.update)
    title = f"{model}: batch {batch}, {session.threads} thread{'s'[: session.threads - 1]}"
    print_table(title, _COLUMNS, list(map(_row, report.layers)), right=(4, 5, 6))
    print(report)
    if t4 is not None:
        written = write_t4_folder(timings.records(this_cpu().environment), t4)
        print(f"wrote {written} files to {t4}")
    if export is not None:
        print(f"wrote {timings.export(export)} records to {export}")
    return 0


def _on_gpu(
    model: str,
    name: str,
    batch: int,
    budget: str | None,
    strategy: str,
    again: bool,
    store: str | None,
    export: str | None,
    merge: str | None,
    t4: str | None,
    dry_run: bool,
) -> int:
    from bitwright.cli._products import products_of
    from bitwright.tune import Store, TuneError
    from bitwright.tune.cuda import model as known_gpu
    from bitwright.tune.cuda import this_gpu, tune_problems
    from bitwright.tune.cuda.gpu import Gpu
    from bitwright.tune.t4 import write_t4_folder

    ordinal = _ordinal(name)
    if ordinal is None and not dry_run:
        raise TuneError(f"--device is {name!r}; cpu, or a GPU of this machine (cuda:0, cuda:1, ...) is expected")
    problems, refused = products_of(model, batch)
    timings = Store(store)
    gpu = known_gpu(name) if ordinal is None else this_gpu(ordinal)
    if merge is not None:
        print(f"merged {timings.load(merge)} new records of {merge} into {timings.folder}")
    for layer, reason in refused:
        print(f"{layer} runs in plain torch: {reason}")
    if not problems:
        print(f"{model} has no binary layer that GPU kernels serve")
        return 0
    if dry_run:
        _list_products(model, batch, problems, gpu, timings)
        return 0
    target = str(gpu["target"])
    with _Bar() as bar:
        report = tune_problems(
            problems,
            gpu,
            lambda: Gpu(ordinal or 0, target),
            budget=budget,
            strategy=strategy,
            store=timings,
            again=again,
            progress=bar.update,
        )
    print_table(
        f"{model}: batch {batch}, {gpu.name}", _GPU_COLUMNS, list(map(_gpu_row, report.shapes)), right=(1, 3, 4)
    )
    print(report)
    if store is not None:
        print(f"timings are in {store}; the torch operators read only the user's cache ({Store().folder})")
    if t4 is not None:
        print(f"wrote {write_t4_folder(timings.records(gpu.environment), t4)} files to {t4}")
    if export is not None:
        print(f"wrote {timings.export(export)} records to {export}")
    return 0


def _ordinal(name: str) -> int | None:
    """Of "cuda" or "cuda:1"; None for other names."""
    kind, colon, number = name.partition(":")
    if kind != "cuda" or (colon and not number.isdigit()):
        return None
    return int(number or 0)


def _list_products(model: str, batch: int, problems: dict[Problem, int], gpu: Device, timings: Store) -> None:
    from bitwright.tune import space_of
    from bitwright.tune.cuda import Chooser, families

    chooser, rows = Chooser(gpu, timings), []
    for problem, count in problems.items():
        space, choice = space_of(problem, gpu, families()), chooser.choose(problem)
        builds = len({config.build for config in space.configs})
        rows.append([str(problem), count, len(space.configs), builds, str(choice.config), choice.source])
    columns = ["product", "layers", "candidates", "builds", "would run", "known from"]
    print_table(f"{model}: batch {batch}, {gpu.name}", columns, rows, right=(1, 2, 3))


_GPU_COLUMNS = ["product", "layers", "chosen", "µs before", "µs after", "faster", "µs dense", "known from"]


def _gpu_row(shape: ShapeResult) -> list[object]:
    before, after, outcome = shape.before, shape.after, shape.outcome
    if outcome is None or before is None or after is None:
        return [str(shape.problem), shape.count, "", "", "", "", "", shape.source]
    dense = "" if shape.dense is None else f"{1e6 * shape.dense:.2f}"
    times = [f"{1e6 * before:.2f}", f"{1e6 * after:.2f}", f"{before / after:.2f}x", dense]
    return [str(shape.problem), shape.count, str(shape.chosen), *times, shape.source]


_COLUMNS = ["layer", "kind", "by the rules", "chosen", "µs before", "µs after", "faster", "known from"]


def _row(layer: LayerResult) -> list[object]:
    before, after = layer.before, layer.after
    if before is None or after is None:
        return [layer.name, layer.kind, layer.standard, layer.kernel, "", "", "", layer.source]
    chosen = layer.kernel if layer.kernel != layer.standard else "the same"
    faster = f"{before / after:.2f}x"
    return [layer.name, layer.kind, layer.standard, chosen, before / 1e3, after / 1e3, faster, layer.source]


class _Bar:
    """A progress bar on a terminal; nothing in a file or a pipe."""

    def __enter__(self) -> _Bar:
        self._shown = sys.stderr.isatty()
        if self._shown:
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True), transient=True)
            self._progress.start()
            self._task = self._progress.add_task("tuning", total=None)
        return self

    def update(self, done: int, total: int, name: str) -> None:
        if self._shown:
            self._progress.update(self._task, completed=done, total=total, description=name)

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._progress.stop()


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        tune,
        argv,
        "  bitwright tune resnet18.bwm --threads 2 --budget 30s\n"
        "  bitwright tune resnet18.bwm --device cuda:0 --batch 32 --budget 5m\n"
        "  bitwright tune resnet18.bwm --device h100 --dry-run",
    )
