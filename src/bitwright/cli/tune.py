"""`bitwright tune`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bitwright.cli._command import print_table, run_command

if TYPE_CHECKING:
    from bitwright.tune import LayerResult


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
) -> int:
    """Choose the kernel of each layer of a .bwm by timing on this machine; keep every timing.

    Answers stay the same bit for bit. Afterwards `Session(..., tune=True)` and `bitwright profile --tune` take the
    choices without timing anything. Ctrl-C keeps what was found.

    Args:
        model: the .bwm file.
        budget: for all layers: 30s, 2m, ... ; without it as long as it takes (some 20 ms a layer).
        batch: samples of the runs to come.
        threads: threads of the engine; 0 for as many as the process may use.
        again: time layers too whose times are known.
        store: folder of the timings; by default in the user's cache.
        export: write all timings of the store to this file, for another machine or a data set.
        merge: first add the timings of an exported file.
        t4: write this machine's timings as JSON in Kernel Tuner's T4 format, one file a problem, into this folder.
    """
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
    title = f"{model}: batch {batch}, {session.threads} threads"
    print_table(title, _COLUMNS, list(map(_row, report.layers)), right=(4, 5, 6))
    print(report)
    if t4 is not None:
        written = write_t4_folder(timings.records(this_cpu().environment), t4)
        print(f"wrote {written} files to {t4}")
    if export is not None:
        print(f"wrote {timings.export(export)} records to {export}")
    return 0


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
        "  bitwright tune resnet18.bwm --threads 2 --budget 30s",
    )
