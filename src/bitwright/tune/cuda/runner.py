"""Measures candidates on a GPU: builds, proves right, then times in turn. Not run on hardware yet.

The flow is tested with the emulator in the GPU's place (tests/tune/cuda/test_runner.py); times of a real GPU are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from ..config import Config
from ..device import Device
from ..errors import TuneError
from ..problem import Problem
from .arguments import Compare
from .bench import BAND, Bench
from .calls import Call, builds_of, call_of
from .families import Build, CudaTemplate, all_families
from .gpu import Machine, Work
from .operands import POISON, difference

GRAPH_BELOW = 20e-6
"""Seconds: a shorter product is timed inside of a CUDA graph, because launching it takes the host as long."""
_GRAPH_SECONDS, _GRAPH_MOST = 100e-6, 32  # of a graph with a warm cache: what it should take, and runs at most
_COMPARE = Build("compare", (("threads", 256),), 256, 0, "exact")
_COMPARE_BLOCKS = 264

Timer = Callable[[], float]


@dataclass
class _Ready:
    """A candidate that was proved right, and how it is timed: with the cache cold, and warm."""

    call: Call
    timers: tuple[Timer, Timer] | None = None


class CudaRunner:
    """A `Runner` of one problem.

    Before its first timing a candidate computes random data (never zeros) into a poisoned output with guard bands;
    every bit must be right. Timings of several candidates are taken in turn. A time is that of all launches of a
    product: the clearing and finishing of a split K included. What takes less than `GRAPH_BELOW` is timed in a CUDA
    graph (torch's products excepted, which cannot be captured like that).

    Args:
        problem: gemm or conv2d; its own m, not the bucket.
        device: of the GPU.
        machine: the GPU.
        cold: whether the L2 cache is overwritten before each sample, as other layers of a network would; `warm` then
            holds as many samples of each candidate with its operands in the cache.
        templates: families, by default all.
        seed: of the data.
        packs: for ±1 activations: "f16" or "f32": a whole layer is timed, from real activations on, whose packing to
            bits belongs to each candidate. Dense candidates take numbers as they are, and pack nothing.
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
        packs: str | None = None,
    ) -> None:
        self.problem, self.device, self._machine = problem, device, machine
        self._templates = {t.name: t for t in (all_families() if templates is None else templates)}
        self._bench, self._packs = Bench(problem, device, machine, seed, packs), packs is not None
        self._ready: dict[Config, _Ready] = {}
        self._failures: dict[Config, str] = {}
        self.warm: dict[Config, list[float]] = {}
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
            machine, work, before = self._machine, ready.call, self._before
            first = min(machine.seconds(work, before) for _ in range(2))
            if first < GRAPH_BELOW and ready.call.capturable:
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
        return builds_of(family, config, self.problem, self.device)

    @property
    def _before(self) -> Work | None:
        if self._flush is None:
            return None
        address, size = self._flush
        return lambda: self._machine.fill(address, 0x5A, size)

    def _prepared(self, config: Config) -> _Ready:
        family = self._templates.get(config.template)
        if family is None:
            raise TuneError(f"no family {config.template!r}; known are {', '.join(self._templates)}")
        why = family.why_invalid(config, self.problem, self.device)
        if why is not None:
            raise TuneError(why)
        call = call_of(self._bench, family, config)
        self._verify(call)
        return _Ready(call)

    def _differing(self, found: int, expected: int, size: int) -> int:
        """Words that differ, counted on the GPU."""
        if self._wrong is None:
            self._wrong = self._machine.upload(np.zeros(1, np.int32))
        self._machine.fill(self._wrong, 0, 4)
        arguments = Compare(found, expected, self._wrong, size // 4)
        self._machine.launch(self._bench.kernel(_COMPARE), _COMPARE, (_COMPARE_BLOCKS, 1, 1), arguments)
        return int(self._machine.download(self._wrong, np.zeros(1, np.int32))[0])

    def _verify(self, call: Call) -> None:
        """Raises TuneError unless one run writes exactly the expected bits and nothing else."""
        operands, addresses = call.data.operands, call.data.addresses
        machine, start = self._machine, addresses["out"] - BAND
        size = operands.expected.nbytes
        whole = 2 * BAND + size + -size % 4
        machine.fill(start, POISON, whole)
        if self._packs and "a_sums" in addresses:
            machine.fill(addresses["a"], POISON, operands.inputs["a"].nbytes)
            machine.fill(addresses["a_sums"], POISON, operands.inputs["a_sums"].nbytes)
        call()
        if self._differing(start, call.data.expected, whole):
            around = machine.download(start, np.empty(whole, np.uint8))
            if (around[:BAND] != POISON).any() or (around[BAND + size :] != POISON).any():
                raise TuneError("wrong result: bytes beside the output were overwritten")
            found = around[BAND : BAND + size].view(operands.expected.dtype).reshape(operands.expected.shape)
            raise TuneError(f"wrong result: {difference(found, operands.expected)}")
        if operands.expected_sums is not None:
            sums = machine.download(addresses["out_sums"], operands.expected_sums)
            wrong = difference(sums, operands.expected_sums)
            if wrong is not None:
                raise TuneError(f"wrong sums of bits: {wrong}")
