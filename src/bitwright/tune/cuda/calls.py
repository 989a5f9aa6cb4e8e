"""How a candidate is called: the launches that make its output from the problem's data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import Config
from ..device import Device
from ..problem import Problem
from .bench import Bench, Data
from .cutlass import PARAMS, Params, Setup
from .families import CudaTemplate, CutlassB1, TorchDense
from .families.base import Build, finish_build, finish_grid
from .families.cutlass_b1 import params_build
from .gpu import Work


@dataclass(frozen=True)
class Call:
    """A candidate, ready. Its time is that of all `steps`; `capturable`: whether a CUDA graph may hold them."""

    data: Data
    steps: tuple[Work, ...]
    capturable: bool = True

    def __call__(self) -> None:
        for step in self.steps:
            step()


def builds_of(family: CudaTemplate, config: Config, problem: Problem, device: Device) -> list[Build]:
    """What a valid candidate compiles."""
    build = family.build_of(config, problem, device)
    if isinstance(family, TorchDense):
        return [] if TorchDense.is_whole(config, problem) else [build]
    if isinstance(family, CutlassB1):
        # the kernel of its parameters is of the same compilation
        return [build] if problem.out == "s32" else [build, finish_build(problem, build.logic)]
    split = family.launch_of(config, problem).split > 1
    return [build, *([finish_build(problem, build.logic)] if split else [])]


def call_of(bench: Bench, family: CudaTemplate, config: Config) -> Call:
    """Compiles what a candidate needs.

    Raises:
        TuneError: it cannot be built.
    """
    build = family.build_of(config, bench.problem, bench.device)
    data = bench.data(build.logic)
    if isinstance(family, CutlassB1):
        steps = _cutlass_steps(bench, family, config, build, data)
    elif isinstance(family, TorchDense):
        steps = _torch_steps(bench, config, build, data)
    else:
        steps = _own_steps(bench, family, config, build, data)
    return Call(data, (*bench.packing(data), *_clear_sums(bench, data), *steps), not isinstance(family, TorchDense))


def _clear_sums(bench: Bench, data: Data) -> list[Work]:
    """Outputs of bits add up how many ones a row has."""
    sums = data.addresses.get("out_sums")
    return [] if sums is None else [bench.zeroing(sums, 4 * bench.problem.m)]


def _finishing(bench: Bench, last: Build, data: Data, sums: int) -> Work:
    """The pass that makes the output of sums, m x n at an address."""
    arguments = data.operands.arguments({**data.addresses, "partial": sums})
    return bench.launcher(last, finish_grid(bench.problem, last), arguments)


def _own_steps(bench: Bench, family: CudaTemplate, config: Config, build: Build, data: Data) -> list[Work]:
    problem, launch = bench.problem, family.launch_of(config, bench.problem)
    if launch.split == 1:
        return [bench.launcher(build, launch.grid, data.operands.arguments(data.addresses, launch.swizzle))]
    size = 4 * problem.m * problem.n
    partial = bench.space("sums", size)
    arguments = data.operands.arguments({**data.addresses, "partial": partial}, launch.swizzle)
    product = bench.launcher(build, launch.grid, arguments)
    return [bench.zeroing(partial, size), product, _finishing(bench, finish_build(problem, build.logic), data, partial)]


def _cutlass_steps(bench: Bench, family: CutlassB1, config: Config, build: Build, data: Data) -> list[Work]:
    problem, launch = bench.problem, family.launch_of(config, bench.problem)
    numbers, addresses = data.operands.numbers, data.addresses
    whole = problem.out == "s32" and numbers["a_mul"] == 0  # CUTLASS's epilogue is all that is missing
    size = 4 * problem.m * problem.n
    sums = addresses["out"] if whole else bench.space("sums", size)
    columns, rows = family.blocks(config, problem)
    setup = Setup(
        a=addresses["a"],
        w=addresses["w"],
        c=addresses["w_terms"] if whole else sums,
        d=sums,
        # CUTLASS leaves its semaphores as it found them
        semaphore=bench.space("semaphores", 4 * columns * rows) if launch.split > 1 else None,
        params=bench.space("params", PARAMS),
        m=problem.m,
        n=problem.n,
        k=128 * numbers["k_chunks"],
        lda=numbers["lda"],
        ldw=numbers["ldw"],
        ldc=0 if whole else problem.n,
        alpha=numbers["acc_mul"] if whole else 1,
        beta=int(whole),
        split=launch.split,
        log_tile=launch.swizzle.bit_length() - 1,
    )
    first = params_build(build)
    bench.launcher(first, (1, 1, 1), setup)()
    params = Params.from_buffer_copy(bench.machine.download(setup.params, np.empty(PARAMS, np.uint8)).tobytes())
    product = bench.launcher(build, launch.grid, params)
    if whole:
        return [product]
    return [product, _finishing(bench, finish_build(problem, build.logic), data, sums)]


def _torch_steps(bench: Bench, config: Config, build: Build, data: Data) -> list[Work]:
    problem, kind = bench.problem, str(config["type"])
    whole = TorchDense.is_whole(config, problem)
    sums = data.addresses["out"] if whole else bench.space("sums", 4 * problem.m * problem.n)
    columns = data.operands.inputs["a"].shape[-1]
    a, w = data.addresses["a"], data.addresses["w"]
    product = bench.machine.matrix_product(kind, a, w, sums, (problem.m, problem.n, columns))
    return [product] if whole else [product, _finishing(bench, build, data, sums)]
