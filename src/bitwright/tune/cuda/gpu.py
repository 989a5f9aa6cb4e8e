"""The few driver calls that running kernels needs. Not run on hardware yet: tests put the emulator in its place."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import TuneError
from .compiler import Compiled, compile_build
from .families.base import Build

Array = NDArray[Any]
Work = Callable[[], None]


class Machine(Protocol):
    """What a runner needs of a GPU; `Gpu` is the real one."""

    def upload(self, array: Array) -> int:
        """A copy in the GPU's memory; its address, a multiple of 256."""
        ...

    def download(self, address: int, like: Array) -> Array:
        """The array at an address."""
        ...

    def fill(self, address: int, byte: int, size: int) -> None:
        """Sets bytes, in the order of the launches."""
        ...

    def load(self, build: Build) -> Any:
        """A kernel, compiled and ready to launch."""
        ...

    def launch(self, kernel: Any, build: Build, grid: tuple[int, int, int], arguments: ctypes.Structure) -> None:
        """Starts a kernel."""
        ...

    def seconds(self, work: Work, before: Work | None) -> float:
        """The time of one run of `work`; `before` runs ahead of it and is not counted."""
        ...

    def release(self) -> None:
        """Frees all memory."""
        ...


class Gpu:
    """A GPU through the CUDA driver, on one stream of its own.

    Args:
        ordinal: which one.
        arch: what to compile for, as "sm_90a".
        folder: of compiled kernels, see `compiler.compile_build`.

    Raises:
        TuneError: no driver or no such GPU.
    """

    def __init__(self, ordinal: int, arch: str, folder: str | None = None) -> None:
        from .devices import this_gpu

        this_gpu(ordinal)  # its clear errors, and the context
        from cuda.bindings import driver

        self._driver, self._arch, self._folder = driver, arch, folder
        self._stream = self._do(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        self._events = [self._do(driver.cuEventCreate(0)) for _ in range(2)]
        self._memory: list[Any] = []
        self._modules: list[Any] = []

    def _do(self, answer: tuple[Any, ...]) -> Any:
        status, *values = answer
        if int(status) != 0:
            _, name = self._driver.cuGetErrorName(status)
            raise TuneError(f"the CUDA driver says {bytes(name).decode()}")
        return values[0] if values else None

    def upload(self, array: Array) -> int:
        data = np.ascontiguousarray(array)
        pointer = self._do(self._driver.cuMemAlloc(max(data.nbytes, 16)))
        self._memory.append(pointer)
        self._do(self._driver.cuMemcpyHtoD(pointer, data.ctypes.data, data.nbytes))
        return int(pointer)

    def download(self, address: int, like: Array) -> Array:
        self._do(self._driver.cuStreamSynchronize(self._stream))
        found = np.empty_like(like)
        self._do(self._driver.cuMemcpyDtoH(found.ctypes.data, address, found.nbytes))
        return found

    def fill(self, address: int, byte: int, size: int) -> None:
        self._do(self._driver.cuMemsetD8Async(address, byte, size, self._stream))

    def load(self, build: Build) -> Any:
        compiled: Compiled = compile_build(build, self._arch, self._folder)
        module = self._do(self._driver.cuModuleLoadData(compiled.cubin))
        self._modules.append(module)
        kernel = self._do(self._driver.cuModuleGetFunction(module, compiled.kernel.encode()))
        attribute = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._do(self._driver.cuFuncSetAttribute(kernel, attribute, build.shared_bytes))
        return kernel

    def launch(self, kernel: Any, build: Build, grid: tuple[int, int, int], arguments: ctypes.Structure) -> None:
        # kernels take one structure by value: the driver copies it from this address before the call returns
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
        block = (build.threads, 1, 1)
        where = ctypes.addressof(pointers)
        self._do(self._driver.cuLaunchKernel(kernel, *grid, *block, build.shared_bytes, self._stream, where, 0))

    def seconds(self, work: Work, before: Work | None) -> float:
        if before is not None:
            before()
        start, end = self._events
        self._do(self._driver.cuEventRecord(start, self._stream))
        work()
        self._do(self._driver.cuEventRecord(end, self._stream))
        self._do(self._driver.cuEventSynchronize(end))
        milliseconds: float = self._do(self._driver.cuEventElapsedTime(start, end))
        return milliseconds / 1e3

    def release(self) -> None:
        self._do(self._driver.cuStreamSynchronize(self._stream))
        for pointer in self._memory:
            self._do(self._driver.cuMemFree(pointer))
        for module in self._modules:
            self._do(self._driver.cuModuleUnload(module))
        self._memory, self._modules = [], []
