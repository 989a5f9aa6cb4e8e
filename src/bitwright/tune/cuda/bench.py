"""What candidates of one problem share on a GPU: data, compiled kernels, work space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import Device
from ..errors import TuneError
from ..problem import Problem
from .algebra import Words, unpack_rows
from .families import Build
from .gpu import Machine, Work
from .operands import POISON, Operands, operands_of
from .packing import Pack, PackBuild, words_of

REALS = {"f32": np.float32, "f16": np.float16}
"""Real activations that a whole layer may start from."""
BAND = 4096  # bytes on each side of the output that must stay as they are


@dataclass(frozen=True)
class Data:
    """Operands in the GPU's memory.

    Attributes:
        operands: as they are on the host.
        addresses: by their name in `Product`; "out" lies between two bands.
        expected: address of the expected output with its bands, whole words.
    """

    operands: Operands
    addresses: dict[str, int]
    expected: int


class Bench:
    """Data are drawn once for each layout (`Build.logic`), kernels are compiled once, work space is zeroed once.

    Args:
        problem, device, machine: what is computed, and where.
        seed: of the data.
        packs: type of real activations that are packed to bits first, see `CudaRunner`.

    Raises:
        TuneError: activations that are no signs are not packed here.
    """

    def __init__(self, problem: Problem, device: Device, machine: Machine, seed: int, packs: str | None = None) -> None:
        if packs is not None and (problem.a != "pm1" or packs not in REALS):
            raise TuneError(f"{packs} to {problem.a} is not packed here; {' and '.join(REALS)} to pm1 are")
        self.problem, self.device, self.machine = problem, device, machine
        self._seed, self._packs = seed, packs
        self._data: dict[str, Data] = {}
        self._kernels: dict[Build, Any] = {}
        self._spaces: dict[tuple[str, int], int] = {}
        self._real: int | None = None

    def data(self, logic: str) -> Data:
        """The problem's data as a logic wants them."""
        if logic not in self._data:
            operands = operands_of(self.problem, logic, np.random.default_rng(self._seed), guard=0)
            addresses = {name: self.machine.upload(array) for name, array in operands.inputs.items()}
            expected, band = operands.expected.reshape(-1).view(np.uint8), np.full(BAND, POISON, np.uint8)
            around = np.concatenate([band, expected, band, band[: -expected.size % 4]])
            addresses["out"] = self.machine.upload(np.full_like(around, POISON)) + BAND
            if operands.expected_sums is not None:
                addresses["out_sums"] = self.machine.upload(np.zeros(self.problem.m, np.int32))
            self._data[logic] = Data(operands, addresses, self.machine.upload(around))
        return self._data[logic]

    def packing(self, data: Data) -> list[Work]:
        """The calls that make the rows of bits of real activations, and the sums of these rows."""
        if self._packs is None or "a_sums" not in data.addresses:
            return []
        bits, sums = data.operands.inputs["a"], data.operands.inputs["a_sums"]
        conv = data.operands.conv
        channels = self.problem.k if conv is None else conv.c
        build = PackBuild(self._packs, 1, True)
        arguments = Pack(
            x=self._reals(bits, channels),
            threshold=self.space("threshold", 4),
            bits=data.addresses["a"],
            sums=data.addresses["a_sums"],
            row_stride=channels,
            channel_stride=1,
            rows=sums.size,
            rows_in_image=sums.size,
            channels=channels,
            ld=words_of(channels),
        )
        return [self.launcher(build.build, build.grid(sums.size), arguments)]

    def _reals(self, bits: Words, channels: int) -> int:
        """Real numbers whose signs are these bits."""
        if self._real is None:
            signs = unpack_rows(bits, channels).astype(np.float32) * 2 - 1
            size = np.random.default_rng(self._seed).uniform(0.1, 2.0, signs.shape)
            self._real = self.machine.upload((signs * size).astype(REALS[str(self._packs)]))
        return self._real

    def kernel(self, build: Build) -> Any:
        """A build, loaded."""
        if build not in self._kernels:
            self._kernels[build] = self.machine.load(build)
        return self._kernels[build]

    def space(self, name: str, size: int) -> int:
        """The address of work space, zeroed when it is first asked for; candidates that name it alike share it."""
        if (name, size) not in self._spaces:
            self._spaces[name, size] = self.machine.upload(np.zeros(size, np.uint8))
        return self._spaces[name, size]

    def launcher(self, build: Build, grid: tuple[int, int, int], arguments: Any) -> Callable[[], None]:
        """A call that starts a kernel."""
        kernel = self.kernel(build)
        return lambda: self.machine.launch(kernel, build, grid, arguments)

    def zeroing(self, address: int, size: int) -> Work:
        """A call that clears memory."""
        return lambda: self.machine.fill(address, 0, size)
