"""Times candidates on the GPU, L2 cold; then the best of ours, of CUTLASS and of the dense products in turn.

Keeps every sample in results/gpu_sweep.jsonl (a store that `bitwright tune` can import), the best ones in
results/gpu_sweep.csv, and the comparison (rivals.py; torch's bf16 layer beside it where torch sees the GPU) in
results/gpu_compare.json. Written without a GPU; never run on one.
"""

from __future__ import annotations

import csv
import datetime
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

from common import LARGE, arguments, spaces
from rivals import compared, rivals
from steps import Items, device_of

from bitwright.tune import History, Problem, Record, Space, search, strategy_of
from bitwright.tune.cuda import Conv2d, all_families
from bitwright.tune.cuda.gpu import Gpu
from bitwright.tune.cuda.runner import CudaRunner


def dense_seconds(problem: Problem, repeats: int = 20) -> float | None:
    """Median time of torch's bf16 layer of the same size, which rounds; L2 flushed. None without torch on a GPU."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)

    if problem.op == "conv2d":
        conv = Conv2d.parse(problem.detail)
        x = drawn(conv.images, conv.c, conv.h, conv.w).to(memory_format=torch.channels_last)
        w = drawn(problem.n, conv.c, *conv.kernel).to(memory_format=torch.channels_last)

        def layer() -> None:
            torch.nn.functional.conv2d(x, w, None, conv.stride, conv.pad, conv.dilation)
    else:
        x, w = drawn(problem.m, problem.k), drawn(problem.n, problem.k)

        def layer() -> None:
            torch.nn.functional.linear(x, w)

    flush = torch.empty(256 << 20, device="cuda", dtype=torch.uint8)
    samples = []
    for _ in range(repeats + 3):
        flush.fill_(1)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        layer()
        end.record()
        end.synchronize()
        samples.append(start.elapsed_time(end) / 1e3)
    return statistics.median(samples[3:])


def swept(space: Space, strategy: str, budget: float, target: Path) -> dict[str, Any]:
    """Searches one problem, adds its record to the store at `target`, and compares the best with its rivals."""
    problem, device = space.problem, space.device
    gpu = Gpu(0, str(device["target"]))
    try:
        runner = CudaRunner(problem, device, gpu)
        outcome = search(space, strategy_of(strategy), runner, budget=budget)
    finally:
        gpu.release()
    versions = tuple(sorted((t.name, t.version) for t in all_families()))
    date, failures = datetime.date.today().isoformat(), tuple(outcome.failures.items())
    warm = History(runner.warm)
    record = Record(device.environment, problem.bucketed, versions, outcome.history, failures, date, warm)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "a", encoding="utf-8") as file:
        file.write(record.to_line() + "\n")
    gpu = Gpu(0, str(device["target"]))
    try:
        comparison = compared(problem, device, gpu, rivals(space, outcome.history))
    finally:
        gpu.release()
    best, dense = outcome.history.time(outcome.best), dense_seconds(problem)
    return {
        **comparison,
        "best": str(outcome.best),
        "best_us": round(1e6 * best, 3),
        "warm_us": round(1e6 * warm.time(outcome.best), 3),
        "tops": round(2 * problem.products / best / 1e12, 1),
        "torch_bf16_us": dense and round(1e6 * dense, 3),
        "candidates": len(space.configs),
        "measured": len(outcome.history),
        "failed": len(failures),
        "complete": outcome.complete,
    }


COLUMNS = ("best", "best_us", "warm_us", "tops", "torch_bf16_us", "candidates", "measured", "failed", "complete")


def write_csv(path: Path, items: dict[str, Any], gpu: str) -> None:
    """One row a problem."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["problem", *COLUMNS, "gpu"])
        writer.writerows([name, *(item.get(c) for c in COLUMNS), gpu] for name, item in items.items() if "best" in item)


def main() -> int:
    options = arguments(__doc__ or "")
    device = device_of(options)
    items, target = None, options.results / "gpu_sweep.jsonl"
    if not options.dry_run:
        items = Items(options.results / "gpu_compare.json", device.environment, options.budget)
    for place, space in enumerate(spaces(LARGE, device, options.dry_run)):
        builds = len({config.build for config in space.configs})
        print(f"{space.problem}: {len(space.configs)} candidates, {builds} builds on {device.name}", flush=True)
        if items is not None:
            # the comparison takes the rest of a problem's share
            share = 0.8 * items.share(len(LARGE) - place)
            items.run(str(space.problem), partial(swept, space, options.strategy, share, target))
    if items is None:
        return 0
    write_csv(options.results / "gpu_sweep.csv", items.items, device.name)
    return items.finish()


if __name__ == "__main__":
    sys.exit(main())
