"""Measures candidates on a GPU: builds, proves right, then times in turn. Not run on hardware yet.

The flow is tested with the emulator in the GPU's place (tests/tune/cuda/test_runner.py); times of a real GPU are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..device import Device
from ..errors import TuneError
from ..problem import Problem
from .arguments import Compare
from .families import Build, CudaTemplate, families
from .families.base import finish_build, finish_grid
from .gpu import Machine, Work
from .operands import POISON, Operands, difference, operands_of

_BAND = 4096  # bytes on each side of the output that must stay as they are
GRAPH_BELOW = 20e-6
"""Seconds: a shorter product is timed inside of a CUDA graph, because launching it takes the host as long."""
_GRAPH_SECONDS, _GRAPH_MOST = 100e-6, 32  # of a graph with a warm cache: what it should take, and runs at most
_COMPARE = Build("compare", (("threads", 256),), 256, 0, "exact")
_COMPARE_BLOCKS = 264

Timer = Callable[[], float]


@dataclass
class _Ready:
    """A candidate that was proved right, and how it is timed: with the cache cold, and warm."""

    work: Work
    timers: tuple[Timer, Timer] | None = None


class CudaRunner:
    """A `Runner` of one problem.

    Before its first timing a candidate computes random data (never zeros) into a poisoned output with guard bands;
    every bit must be right. Timings of several candidates are taken in turn. A time is that of all launches of a
    product: the clearing and finishing of a split K included. What takes less than `GRAPH_BELOW` is timed in a CUDA
    graph.

    Args:
        problem: gemm or conv2d; its own m, not the bucket.
        device: of the GPU.
        machine: the GPU.
        cold: whether the L2 cache is overwritten before each sample, as other layers of a network would; `warm` then
            holds as many samples of each candidate with its operands in the cache.
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
        self.warm: dict[Config, list[float]] = {}
        self._expected: dict[str, int] = {}
        self._wrong: int | None = None
        self._flush: tuple[int, int] | None = None
        if cold:
            size = 2 * device.number("l2")
            self._flush = (machine.upload(np.zeros(size, np.uint8)), size)

    @property
    def failures(self) -> Mapping[Config, str]:
        return self._failures

    def measure(self, configs: Sequence[Config], repeats: int) -> dict[Config, list[float]]:
        new = [c for c in configs if c not in self._ready and c not in self._failures]
        self._machine.prepare(list(dict.fromkeys(build for c in new for build in self._builds(c))))
        for config in new:
            try:
                self._ready[config] = self._prepared(config)
            except TuneError as error:
                self._failures[config] = str(error)
        alive = [config for config in configs if config in self._ready]
        samples: dict[Config, list[float]] = {config: [] for config in alive}
        for _ in range(repeats):
            for config in alive:
                cold, warm = self._timers(self._ready[config])
                if self._before is None:
                    samples[config].append(warm())
                else:
                    samples[config].append(cold())
                    self.warm.setdefault(config, []).append(warm())
        return samples

    def _timers(self, ready: _Ready) -> tuple[Timer, Timer]:
        if ready.timers is None:
            machine, work, before = self._machine, ready.work, self._before
            first = min(machine.seconds(work, before) for _ in range(2))
            if first < GRAPH_BELOW:
                times = min(_GRAPH_MOST, ceil(_GRAPH_SECONDS / max(first, 1e-7)))
                ready.timers = machine.graph(work, before, 1), machine.graph(work, None, times)
            else:
                ready.timers = (lambda: machine.seconds(work, before)), (lambda: machine.seconds(work, None))
        return ready.timers

    def _builds(self, config: Config) -> list[Build]:
        """What a candidate compiles; nothing if it cannot run, for which `_prepared` has the reason."""
        family = self._templates.get(config.template)
        if family is None or family.why_invalid(config, self.problem, self.device) is not None:
            return []
        build = family.build_of(config, self.problem, self.device)
        split = family.launch_of(config, self.problem).split > 1
        return [build, *([finish_build(self.problem, build)] if split else [])]

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
            around = self._around(operands)
            self._expected[logic] = self._machine.upload(around)
            inputs["out"] = self._machine.upload(np.full_like(around, POISON)) + _BAND
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

        self._verify(operands, build.logic, addresses, work)
        return _Ready(work)

    @staticmethod
    def _around(operands: Operands) -> NDArray[np.uint8]:
        """The expected output between guard bands, whole words."""
        expected = operands.expected.reshape(-1).view(np.uint8)
        band = np.full(_BAND, POISON, np.uint8)
        return np.concatenate([band, expected, band, band[: -expected.size % 4]])

    def _differing(self, found: int, expected: int, size: int) -> int:
        """Words that differ, counted on the GPU."""
        if self._wrong is None:
            self._wrong = self._machine.upload(np.zeros(1, np.int32))
        self._machine.fill(self._wrong, 0, 4)
        arguments = Compare(found, expected, self._wrong, size // 4)
        self._machine.launch(self._kernel(_COMPARE), _COMPARE, (_COMPARE_BLOCKS, 1, 1), arguments)
        return int(self._machine.download(self._wrong, np.zeros(1, np.int32))[0])

    def _verify(self, operands: Operands, logic: str, addresses: dict[str, int], work: Work) -> None:
        """Raises TuneError unless one run writes exactly the expected bits and nothing else."""
        machine, start = self._machine, addresses["out"] - _BAND
        size = operands.expected.nbytes
        whole = 2 * _BAND + size + -size % 4
        machine.fill(start, POISON, whole)
        work()
        if self._differing(start, self._expected[logic], whole):
            around = machine.download(start, np.empty(whole, np.uint8))
            if (around[:_BAND] != POISON).any() or (around[_BAND + size :] != POISON).any():
                raise TuneError("wrong result: bytes beside the output were overwritten")
            found = around[_BAND : _BAND + size].view(operands.expected.dtype).reshape(operands.expected.shape)
            raise TuneError(f"wrong result: {difference(found, operands.expected)}")
        if operands.expected_sums is not None:
            sums = machine.download(addresses["out_sums"], operands.expected_sums)
            wrong = difference(sums, operands.expected_sums)
            if wrong is not None:
                raise TuneError(f"wrong sums of bits: {wrong}")
