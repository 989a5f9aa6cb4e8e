"""Products of few rows with 1-bit weights (W1A16, W1A8) at the shapes of language models, beside torch's bf16.

Writes results/gpu_gemv.json: microseconds of the best of ours (L2 cold, every candidate of the family `gemv` proved
right first) and of torch.nn.functional.linear in bf16 (in a CUDA graph, weights rotating through more than twice the L2
cache). Written without a GPU; never run on one.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from steps import Items, copies_for, device_of, options_of, torch_seconds

from bitwright.tune import Device, Problem, search, space_of, strategy_of
from bitwright.tune.cuda import families
from bitwright.tune.cuda.gpu import Gpu, Machine
from bitwright.tune.cuda.runner import CudaRunner

SHAPES = ((4096, 4096), (11008, 4096), (4096, 11008), (14336, 4096), (8192, 8192), (28672, 8192))
"""Outputs and inputs of layers of 7B, 8B and 70B decoders."""
ROWS = (1, 4, 16)
FORMATS = ("f16", "s8")
PROBLEMS = [Problem("gemm", m, n, k, a, out="f16") for a in FORMATS for n, k in SHAPES for m in ROWS]


def best_of(problem: Problem, device: Device, machine: Machine, budget: str = "4s") -> dict[str, Any]:
    """The fastest candidate of ours, and the rate at which it reads weights."""
    own = [t for t in families() if t.name in ("gemv", "mma_wide")]
    space = space_of(problem, device, own)
    runner = CudaRunner(problem, device, machine)
    outcome = search(space, strategy_of("portfolio"), runner, budget=budget)
    seconds = outcome.history.time(outcome.best)
    return {
        "config": outcome.best.to_dict(),
        "us": round(1e6 * seconds, 3),
        "warm_us": round(1e6 * sorted(runner.warm[outcome.best])[len(runner.warm[outcome.best]) // 2], 3),
        "weight_gb_per_s": round(problem.n * problem.k / 8 / seconds / 1e9, 1),
        "failures": sorted(set(outcome.failures.values())),
    }


def dense_us(problem: Problem, l2: int, device: str = "cuda") -> float:
    """torch's bf16."""
    import torch
    import torch.nn.functional as F

    copies = copies_for(2 * problem.n * problem.k, l2)
    x = torch.randn(problem.m, problem.k, device=device, dtype=torch.bfloat16)
    weights = [torch.randn(problem.n, problem.k, device=device, dtype=torch.bfloat16) for _ in range(copies)]
    return round(1e6 * torch_seconds([lambda w=w: F.linear(x, w) for w in weights]), 3)


def measured(problem: Problem, device: Device) -> dict[str, Any]:
    """Both."""
    gpu = Gpu(0, str(device["target"]))
    try:
        found = best_of(problem, device, gpu)
    finally:
        gpu.release()
    dense = dense_us(problem, device.number("l2"))
    return {**found, "bf16_us": dense, "faster": round(dense / found["us"], 3)}


def main() -> int:
    options = options_of(__doc__ or "")
    device = device_of(options)
    if options.dry_run:
        for problem in PROBLEMS[::7]:
            own = [t for t in families() if t.name in ("gemv", "mma_wide")]
            print(f"{problem}: {len(space_of(problem, device, own).configs)} candidates")
        print(f"{len(PROBLEMS)} products in all")
        return 0
    items = Items(options.results / "gpu_gemv.json", device.environment, options.budget)
    for problem in PROBLEMS:
        items.run(str(problem), partial(measured, problem, device))
    return items.finish()


if __name__ == "__main__":
    sys.exit(main())
