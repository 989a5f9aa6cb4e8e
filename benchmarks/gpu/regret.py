"""Time lost by choosing from few measurements, against the exhaustive search of the sweep. Needs no GPU.

Reads results/gpu_sweep.jsonl (or another exported store: --store), writes results/gpu_regret.json: the time over the
best's after measuring the first 1, 2, 4, ... candidates of each way: portfolio of the other shapes, learned model,
order of the nearest shape, analytic cost (the order in which the sweep measured).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steps import Items, options_of

from bitwright.tune import Record
from bitwright.tune.regret import Regret, compare

COUNTS = (1, 2, 4, 8, 16)


def by_cost(records: Sequence[Record], count: int) -> Regret:
    """Measuring the first few in the order of the sweep, which is that of the analytic cost."""
    slowdowns = []
    for record in records:
        time = record.history.time
        measured = list(record.history.samples)
        slowdowns.append(min(map(time, measured[:count])) / min(map(time, measured)))
    return Regret("cost", count, tuple(slowdowns))


def table(records: Sequence[Record], counts: Sequence[int] = COUNTS) -> list[dict[str, Any]]:
    """One row a way and count. Raises ValueError for fewer than two problems."""
    found = [*compare(records, counts), *(by_cost(records, count) for count in counts)]
    return [
        {
            "way": r.way,
            "measured": r.measured,
            "mean": round(r.mean, 4),
            "worst": round(r.worst, 4),
            "slowdowns": [round(s, 4) for s in r.slowdowns],
        }
        for r in found
    ]


def main() -> int:
    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--store", type=Path, help="exported timings; by default gpu_sweep.jsonl of the results")

    options = options_of(__doc__, more=more)
    store = options.store or options.results / "gpu_sweep.jsonl"
    if options.dry_run:
        print(f"regret of {store}: portfolio, learned model, nearest shape, analytic cost, at {COUNTS} candidates")
        return 0
    if not store.exists():
        print(f"{store} is not there: run sweep.py first", file=sys.stderr)
        return 1
    records = [Record.from_line(line) for line in store.read_text(encoding="utf-8").splitlines()]
    records = [r for r in records if len(r.history) > 1]
    items = Items(options.results / "gpu_regret.json", records[0].environment if records else "none")
    items.data["items"] = {}  # of the store as it is now
    items.run("regret", lambda: table(records))
    return items.finish()


if __name__ == "__main__":
    sys.exit(main())
