"""Measures candidates on a GPU: builds, proves right, then times in turn. Not run on hardware yet.

The flow is tested with the emulator in the GPU's place (tests/tune/cuda/test_runner.py); times of a real GPU are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import Config
from ..device import Device
from ..errors import TuneError
from ..problem import Problem
from .families import CudaTemplate, families
from .families.base import finish_build, finish_grid
from .gpu import Machine, Work
from .operands import POISON, Operands, difference, operands_of

_BAND = 4096  # bytes on each side of the output that must stay as they are


@dataclass
class _Ready:
    work: Work


class CudaRunner:
    """A `Runner` of one problem.

    Before its first timing a candidate computes random data (never zeros) into a poisoned output with guard bands;
    every bit must be right. Timings of several candidates are taken in turn. A time is that of all launches of a
    product: the clearing and finishing of a split K included.

    Args:
        problem: gemm or conv2d; its own m, not the bucket.
        device: of the GPU.
        machine: the GPU.
        cold: whether the L2 cache is overwritten before each sample, as other layers of a network would.
        templates: families, by default all.
        seed: of the data.
    """

    def __init__(
        self,
        problem: Problem,
        device: Device,
        machine: Machine,
        *,
        cold: bool = True,
        templates: Sequence[CudaTemplate] | None = None,
        seed: int = 0,
    ) -> None:
        self.problem, self.device, self._machine = problem, device, machine
        self._templates = {t.name: t for t in (families() if templates is None else templates)}
        self._seed = seed
        self._data: dict[str, tuple[Operands, dict[str, int]]] = {}
        self._kernels: dict[Any, Any] = {}
        self._ready: dict[Config, _Ready] = {}
        self._failures: dict[Config, str] = {}
        self._flush: tuple[int, int] | None = None
        if cold:
            size = 2 * device.number("l2")
            self._flush = (machine.upload(np.zeros(size, np.uint8)), size)

    @property
    def failures(self) -> Mapping[Config, str]:
        return self._failures

    def measure(self, configs: Sequence[Config], repeats: int) -> dict[Config, list[float]]:
        for config in configs:
            if config not in self._ready and config not in self._failures:
                try:
                    self._ready[config] = self._prepared(config)
                except TuneError as error:
                    self._failures[config] = str(error)
        alive = [config for config in configs if config in self._ready]
        samples: dict[Config, list[float]] = {config: [] for config in alive}
        for _ in range(repeats):
            for config in alive:
                samples[config].append(self._machine.seconds(self._ready[config].work, self._before))
        return samples

    @property
    def _before(self) -> Work | None:
        if self._flush is None:
            return None
        address, size = self._flush
        return lambda: self._machine.fill(address, 0x5A, size)

    def _operands(self, logic: str) -> tuple[Operands, dict[str, int]]:
        if logic not in self._data:
            operands = operands_of(self.problem, logic, np.random.default_rng(self._seed), guard=0)
            inputs = {name: self._machine.upload(array) for name, array in operands.inputs.items()}
            band = np.full(_BAND, POISON, np.uint8)
            around = np.concatenate([band, operands.poisoned.reshape(-1).view(np.uint8), band])
            inputs["out"] = self._machine.upload(around) + _BAND
            if operands.expected_sums is not None:
                inputs["out_sums"] = self._machine.upload(np.zeros(self.problem.m, np.int32))
            self._data[logic] = operands, inputs
        return self._data[logic]

    def _kernel(self, build: Any) -> Any:
        if build not in self._kernels:
            self._kernels[build] = self._machine.load(build)
        return self._kernels[build]

    def _prepared(self, config: Config) -> _Ready:
        family = self._templates.get(config.template)
        if family is None:
            raise TuneError(f"no family {config.template!r}; known are {', '.join(self._templates)}")
        why = family.why_invalid(config, self.problem, self.device)
        if why is not None:
            raise TuneError(why)
        machine, problem = self._machine, self.problem
        build, launch = family.build_of(config, problem, self.device), family.launch_of(config, problem)
        operands, addresses = self._operands(build.logic)
        kernel = self._kernel(build)
        addresses = dict(addresses)
        sums, partial = addresses.get("out_sums"), None
        if launch.split > 1:
            if "partial" not in self._data[build.logic][1]:
                self._data[build.logic][1]["partial"] = machine.upload(np.zeros((problem.m, problem.n), np.int32))
            partial = addresses["partial"] = self._data[build.logic][1]["partial"]
        arguments = operands.arguments(addresses, launch.swizzle)
        last = finish_build(problem, build) if partial is not None else None
        last_kernel = self._kernel(last) if last is not None else None

        def work() -> None:
            if sums is not None:
                machine.fill(sums, 0, 4 * problem.m)
            if partial is not None:
                machine.fill(partial, 0, 4 * problem.m * problem.n)
            machine.launch(kernel, build, launch.grid, arguments)
            if last is not None:
                machine.launch(last_kernel, last, finish_grid(problem, last), arguments)

        self._verify(operands, addresses, work)
        return _Ready(work)

    def _verify(self, operands: Operands, addresses: dict[str, int], work: Work) -> None:
        """Raises TuneError unless one run writes exactly the expected bits and nothing else."""
        size = operands.expected.nbytes
        start = addresses["out"] - _BAND
        self._machine.fill(start, POISON, size + 2 * _BAND)
        work()
        around = self._machine.download(start, np.empty(size + 2 * _BAND, np.uint8))
        if (around[:_BAND] != POISON).any() or (around[-_BAND:] != POISON).any():
            raise TuneError("wrong result: bytes beside the output were overwritten")
        found = around[_BAND:-_BAND].view(operands.expected.dtype).reshape(operands.expected.shape)
        wrong = difference(found, operands.expected)
        if wrong is not None:
            raise TuneError(f"wrong result: {wrong}")
        if operands.expected_sums is not None:
            sums = self._machine.download(addresses["out_sums"], operands.expected_sums)
            wrong = difference(sums, operands.expected_sums)
            if wrong is not None:
                raise TuneError(f"wrong sums of bits: {wrong}")
