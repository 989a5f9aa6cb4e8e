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

    def __init__(self, block_seconds: float = 1e-5, product_seconds: float = 1e-5) -> None:
        self.block_seconds = block_seconds
        self.product_seconds = product_seconds  # of a library's product
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
        return Emulated(build)

    def launch(self, kernel: Emulated, build: Build, grid: tuple[int, int, int], arguments: ctypes.Structure) -> None:
        kernel(arguments, grid, build.threads, build.shared_bytes, [], list(self.arrays.values()))  # type: ignore[arg-type]
        if build.kernel != "compare":
            self.log.append(build.kernel)
            self.clock += self.block_seconds * (1 + grid[0] * grid[1] * grid[2])

    def matrix_product(self, kind: str, a: int, w: int, out: int, shape: tuple[int, int, int]) -> Work:
        m, n, k = shape
        dtype = np.dtype({"s8": np.int8, "f16": np.float16, "bf16": np.uint16}[kind])

        def rows(address: int, count: int) -> NDArray[Any]:
            found = self.download(address, np.empty((count, k), dtype))
            return (found.astype(np.uint32) << 16).view(np.float32) if kind == "bf16" else found

        def work() -> None:
            sums = rows(a, m).astype(np.float64) @ rows(w, n).T.astype(np.float64)
            found = sums.astype(np.int32 if kind == "s8" else np.float32)
            self._at(out, found.nbytes)[:] = np.ascontiguousarray(found).reshape(-1).view(np.uint8)
            self.log.append(f"product {kind}")
            self.clock += self.product_seconds

        return work

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
