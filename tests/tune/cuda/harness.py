"""Runs a config of a family in the emulator on random operands, and compares every bit of the output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitwright.tune import Config, Device, Problem
from bitwright.tune.cuda import CudaTemplate
from bitwright.tune.cuda.emulator import Counts, Emulated, aligned, compiler
from bitwright.tune.cuda.families.base import finish_build, finish_grid
from bitwright.tune.cuda.operands import difference, operands_of

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no host C++ compiler")


def emulate(
    template: CudaTemplate,
    config: Config,
    problem: Problem,
    device: Device,
    *,
    seed: int = 0,
    late: bool = True,
    guard: int = 3,
    data: int = 0,
) -> Counts:
    """Counts of the main kernel's launch; fails unless the output is right and nothing around it was touched."""
    assert template.why_not_at_all(problem, device) is None
    build = template.build_of(config, problem, device)
    launch = template.launch_of(config, problem)
    operands = operands_of(problem, build.logic, np.random.default_rng(data), guard)
    reads = {name: aligned(array) for name, array in operands.inputs.items()}
    band = np.full(64, 0xA5, np.uint8)
    around = aligned(np.concatenate([band, operands.poisoned.reshape(-1).view(np.uint8), band]), 64)
    out = around[64:-64].view(operands.expected.dtype).reshape(operands.expected.shape)
    writes: dict[str, Any] = {"out": out}
    if operands.expected_sums is not None:
        writes["out_sums"] = aligned(np.zeros(problem.m, np.int32))
    if launch.split > 1:
        writes["partial"] = aligned(np.zeros((problem.m, problem.n), np.int32))
    addresses = {name: array.ctypes.data for name, array in (reads | writes).items()}
    arguments = operands.arguments(addresses, launch.swizzle)
    where = (list(reads.values()), list(writes.values()))
    kernel = Emulated(build)
    counts = kernel(arguments, launch.grid, build.threads, build.shared_bytes, *where, seed=seed, late=late)
    if launch.split > 1:
        last = finish_build(problem, build.logic)
        inputs = [*where[0], writes.pop("partial")]
        Emulated(last)(
            arguments,
            finish_grid(problem, last),
            last.threads,
            last.shared_bytes,
            inputs,
            list(writes.values()),
            seed=seed,
        )
    wrong = difference(out, operands.expected)
    assert wrong is None, f"{config} on {problem}: {wrong}"
    assert (around[:64] == 0xA5).all()
    assert (around[-64:] == 0xA5).all()
    if operands.expected_sums is not None:
        np.testing.assert_array_equal(writes["out_sums"], operands.expected_sums)
    return counts
