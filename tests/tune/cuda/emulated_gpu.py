"""A GPU whose kernels run in the emulator, for runners and searches."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.tune.cuda.emulator import Emulated, aligned
from bitwright.tune.cuda.families import Build
from bitwright.tune.cuda.gpu import Work


class EmulatedGpu:
    """`Machine` whose kernels run in the emulator; a launch takes a time that depends on its blocks."""

    def __init__(self, block_seconds: float = 1e-5) -> None:
        self.block_seconds = block_seconds
        self.arrays: dict[int, NDArray[np.uint8]] = {}
        self.log: list[str] = []
        self.prepared: list[list[str]] = []
        self.graphs: list[tuple[bool, int]] = []
        self.clock = 0.0

    def upload(self, array: NDArray[Any]) -> int:
        copy = aligned(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        self.arrays[copy.ctypes.data] = copy
        return int(copy.ctypes.data)

    def _at(self, address: int, size: int) -> NDArray[np.uint8]:
        for start, array in self.arrays.items():
            if start <= address and address + size <= start + array.nbytes:
                return array[address - start : address - start + size]
        raise AssertionError("an address outside of all allocations")

    def download(self, address: int, like: NDArray[Any]) -> NDArray[Any]:
        return self._at(address, like.nbytes).copy().view(like.dtype).reshape(like.shape)

    def fill(self, address: int, byte: int, size: int) -> None:
        self._at(address, size)[:] = byte

    def prepare(self, builds: Sequence[Build]) -> None:
        self.prepared.append([build.kernel for build in builds])

    def load(self, build: Build) -> Emulated:
        return Emulated(build.kernel, dict(build.defines), "Compare" if build.kernel == "compare" else "Product")

    def launch(self, kernel: Emulated, build: Build, grid: tuple[int, int, int], arguments: ctypes.Structure) -> None:
        kernel(arguments, grid, build.threads, build.shared_bytes, [], list(self.arrays.values()))  # type: ignore[arg-type]
        if build.kernel != "compare":
            self.log.append(build.kernel)
            self.clock += self.block_seconds * (1 + grid[0] * grid[1] * grid[2])

    def seconds(self, work: Work, before: Work | None) -> float:
        if before is not None:
            before()
        start = self.clock
        work()
        return self.clock - start

    def graph(self, work: Work, before: Work | None, times: int) -> Callable[[], float]:
        self.graphs.append((before is not None, times))

        def replay() -> float:
            for _ in range(times):
                seconds = self.seconds(work, before)
            return seconds

        return replay

    def release(self) -> None:
        self.arrays.clear()
