"""Kernel Tuner's strategies replayed on our recorded timings, beside ours: an independent check of our search.

    python benchmarks/tune_replay.py [--seeds 10]

Reads results/tune_products.jsonl (exhaustive searches, by benchmarks/tune_cpu.py); nothing is timed here. Kernel Tuner
runs in its simulation mode, in the peers' environment (`make bench-peers`). Writes results/tune_replay.csv and
docs/images/tune-replay.png: time lost against exhaustive search over the number of candidates measured, geometric mean
over shapes and seeds. Ours know the other shapes, the one that is asked about left out; Kernel Tuner's know nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.engine import PEERS  # noqa: E402
from benchmarks.plots import save  # noqa: E402

from bitwright.bench.results import write_results  # noqa: E402
from bitwright.tune import Record  # noqa: E402
from bitwright.tune.regret import compare  # noqa: E402

COUNTS = (1, 2, 4, 8, 16)
STRATEGIES = ("random_sample", "genetic_algorithm", "simulated_annealing", "pso", "diff_evo", "greedy_ils")
OURS = {"portfolio": "ours: portfolio of the other shapes", "predict": "ours: learned model"}


def space_of(record: Record) -> dict[str, Any]:
    """One search as Kernel Tuner takes it: each parameter of each template is one of its own, "-" where it is not."""
    samples = record.history.samples
    names = sorted({name for config in samples for name in config.parameters})
    configs = [
        {
            "values": [config.template, *(str(config.parameters.get(name, "-")) for name in names)],
            "ms": 1e3 * record.history.time(config),
        }
        for config in samples
    ]
    return {"keys": ["template", *names], "configs": configs}


def replayed(spaces: Sequence[dict[str, Any]], seeds: int, python: Path = PEERS) -> dict[str, list[list[list[float]]]]:
    """Milliseconds in the order of measurement, by strategy, space and seed."""
    if not python.exists():
        raise SystemExit(f"{python} is missing: `make bench-peers` installs it")
    request = {"spaces": spaces, "strategies": STRATEGIES, "seeds": seeds, "count": max(COUNTS)}
    worker = ROOT / "benchmarks/peers/kernel_tuner_replay.py"
    run = subprocess.run([python, worker], input=json.dumps(request), stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, list[list[list[float]]]] = json.loads(run.stdout)
    return answer


def slowdowns(times: Sequence[Sequence[float]], best: float, count: int) -> list[float]:
    """Of each replay: the best of its first candidates over the best of all."""
    return [min(own[:count]) / best for own in times if own]


def rows_of(records: Sequence[Record], seeds: int) -> list[dict[str, object]]:
    spaces = [space_of(record) for record in records]
    rows: list[dict[str, object]] = []

    def add(way: str, count: int, values: Sequence[float]) -> None:
        mean, worst = float(np.exp(np.log(values).mean())), max(values)
        rows.append(
            {
                "way": way,
                "measured": count,
                "mean_slowdown": round(mean, 4),
                "worst_slowdown": round(worst, 4),
                "replays": len(values),
            }
        )

    for regret in compare(records, COUNTS):
        if regret.way in OURS:
            add(OURS[regret.way], regret.measured, regret.slowdowns)
    best = [min(config["ms"] for config in space["configs"]) for space in spaces]
    for strategy, searches in replayed(spaces, seeds).items():
        for count in COUNTS:
            values = [s for own, b in zip(searches, best, strict=True) for s in slowdowns(own, b, count)]
            add(f"Kernel Tuner: {strategy}", count, values)
    return rows


def plot(rows: Sequence[dict[str, Any]], target: Path) -> None:
    """Mean time lost over candidates measured; ours thick."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    axes = figure.subplots()
    colors = ["#0f766e", "#c2703d", "#94a3b8", "#7c3aed", "#2563eb", "#be185d", "#65a30d", "#78716c"]
    for color, way in zip(colors, dict.fromkeys(r["way"] for r in rows), strict=False):
        own = [r for r in rows if r["way"] == way]
        ours = way.startswith("ours")
        axes.plot(
            [r["measured"] for r in own], [100 * (r["mean_slowdown"] - 1) for r in own],
            "o-" if ours else "s--", color=color, linewidth=2.2 if ours else 1.2, markersize=4, label=way,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(COUNTS, [str(c) for c in COUNTS])
    axes.set_yscale("symlog", linthresh=10)
    axes.set_ylim(bottom=0)
    axes.set_yticks([0, 5, 10, 50, 100, 500], ["0", "5", "10", "50", "100", "500"])
    axes.set_xlabel("candidates measured")
    axes.set_ylabel("time lost, %")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    save(figure, target)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    lines = (ROOT / "results/tune_products.jsonl").read_text().splitlines()
    rows = rows_of([Record.from_line(line) for line in lines], options.seeds)
    for row in rows:
        print(f"{row['way']:38} {row['measured']:3}: {row['mean_slowdown']:.3f}x, worst {row['worst_slowdown']:.2f}x")
    write_results(ROOT / "results/tune_replay.csv", "python benchmarks/tune_replay.py", rows)
    plot(rows, ROOT / "docs/images/tune-replay.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
