"""The best of ours beside CUTLASS's default tile, its best tile and the dense product: timed in turn, as ratios."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

from bitwright.tune import Config, Device, Problem, Space
from bitwright.tune.cuda.families import CutlassB1, dense_families
from bitwright.tune.cuda.gpu import Machine
from bitwright.tune.cuda.runner import CudaRunner
from bitwright.tune.history import History

DENSE = {family.name for family in dense_families()}


def rivals(space: Space, history: History) -> dict[str, Config]:
    """Who is compared: "ours", "cutlass", "dense", each the best that was measured, and "cutlass_default"."""
    found: dict[str, Config] = {}
    for config in history.ranked(space.configs):
        name = "cutlass" if config.template == "cutlass_b1" else "dense" if config.template in DENSE else "ours"
        found.setdefault(name, config)
    family = CutlassB1()
    if family.why_not_at_all(space.problem, space.device) is None:
        default = family.baseline(space.problem, space.device)
        if family.why_invalid(default, space.problem, space.device) is None:
            found["cutlass_default"] = default
    return found


def medians(runner: CudaRunner, configs: dict[str, Config], repeats: int) -> dict[str, float]:
    """Microseconds by name, of those that run and are right."""
    samples = runner.measure(list(dict.fromkeys(configs.values())), repeats)
    for why in runner.failures.values():
        print(f"  failed: {why[:500]}")
    return {name: 1e6 * statistics.median(samples[c]) for name, c in configs.items() if c in samples}


def compared(
    problem: Problem, device: Device, machine: Machine, configs: dict[str, Config], repeats: int = 30
) -> dict[str, Any]:
    """Times of the product, of the whole layer (packing of f16 activations and scale included), and what they say.

    A ratio above 1 says that ours is faster. The dense product packs nothing: it is given bytes or halves.
    """
    report: dict[str, Any] = {"problem": problem.to_dict(), "configs": {n: c.to_dict() for n, c in configs.items()}}
    product = medians(CudaRunner(problem, device, machine), configs, repeats)
    report["us"] = {name: round(time, 3) for name, time in product.items()}
    report["faster"] = ratios(product)
    if problem.a == "pm1":
        layer = problem if problem.out != "s32" else replace(problem, out="f16")
        whole = medians(CudaRunner(layer, device, machine, packs="f16"), configs, repeats)
        report["layer_us"] = {name: round(time, 3) for name, time in whole.items()}
        report["layer_faster"] = ratios(whole)
    return report


def ratios(times: dict[str, float]) -> dict[str, float]:
    """How much faster ours is than each rival."""
    if "ours" not in times:
        return {}
    return {name: round(time / times["ours"], 3) for name, time in times.items() if name != "ours"}
