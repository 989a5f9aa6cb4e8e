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
import tempfile

from common import LARGE, arguments, device_of, spaces, write
from rivals import compared, rivals

from bitwright.tune import Problem, Record, Store, TuneError, search, strategy_of
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


def main() -> int:
    options = arguments(__doc__ or "")
    device = device_of(options)
    strategy = strategy_of(options.strategy)
    rows, comparisons = [], []
    versions = tuple(sorted((t.name, t.version) for t in all_families()))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for space in spaces(LARGE, device, options.dry_run):
            builds = len({config.build for config in space.configs})
            print(f"{space.problem}: {len(space.configs)} candidates, {builds} builds on {device.name}", flush=True)
            if options.dry_run:
                continue
            gpu = Gpu(0, str(device["target"]))
            runner = CudaRunner(space.problem, device, gpu)
            try:
                outcome = search(space, strategy, runner, budget=options.budget)
            except TuneError as error:
                print(f"  {error}")
                continue
            finally:
                gpu.release()
            date = datetime.date.today().isoformat()
            failures = tuple(outcome.failures.items())
            store.put(Record(device.environment, space.problem.bucketed, versions, outcome.history, failures, date))
            who = rivals(space, outcome.history)
            gpu = Gpu(0, str(device["target"]))
            comparison = compared(space.problem, device, gpu, who)
            gpu.release()
            best, dense = outcome.history.time(outcome.best), dense_seconds(space.problem)
            comparisons.append({**comparison, "torch_bf16_us": dense and round(1e6 * dense, 3)})
            tops = 2 * space.problem.products / best / 1e12
            rows.append(
                [space.problem, outcome.best, f"{1e6 * best:.2f}", f"{tops:.1f}", dense and f"{1e6 * dense:.2f}"]
            )
            print(f"  {outcome.best}: {1e6 * best:.2f} us, {tops:.1f} TOPS; torch bf16: {rows[-1][-1]} us")
            print(f"  faster than {comparison['faster']}, as a layer {comparison.get('layer_faster')}")
            print(f"  {len(failures)} candidates failed")
        if not options.dry_run:
            options.results.mkdir(parents=True, exist_ok=True)
            write(options.results / "gpu_compare.json", {"environment": device.environment, "problems": comparisons})
            store.export(options.results / "gpu_sweep.jsonl")
            with open(options.results / "gpu_sweep.csv", "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["problem", "best", "us", "tops", "torch_bf16_us", "gpu"])
                writer.writerows([*row, device.name] for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
