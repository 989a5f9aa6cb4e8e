"""The few driver calls that running kernels needs. Not run on hardware yet: tests put the emulator in its place."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import TuneError
from .compiler import Compiled, compile_build
from .families.base import Build
from .workers import Workers

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

    def prepare(self, builds: Sequence[Build]) -> None:
        """Compiles what `load` will ask for, several at once. An error is left to `load`."""
        ...

    def load(self, build: Build) -> Any:
        """A kernel, compiled and ready to launch."""
        ...

    def launch(self, kernel: Any, build: Build, grid: tuple[int, int, int], arguments: ctypes.Structure) -> None:
        """Starts a kernel."""
        ...

    def matrix_product(self, kind: str, a: int, w: int, out: int, shape: tuple[int, int, int]) -> Work:
        """The vendor's product of rows of numbers ("s8", "f16", "bf16") at addresses, into s32 or float32: m, n, k."""
        ...

    def seconds(self, work: Work, before: Work | None) -> float:
        """The time of one run of `work`; `before` runs ahead of it and is not counted."""
        ...

    def graph(self, work: Work, before: Work | None, times: int) -> Callable[[], float]:
        """Captures `before` once and `work` `times` times in a graph; each call replays it and gives the time of one
        `work`. Launches inside of a graph cost the host nothing, which matters where a kernel takes microseconds."""
        ...

    def release(self) -> None:
        """Frees memory, graphs and kernels; the last call."""
        ...


class Driver:
    """Loading and launching kernels on one GPU, in the context that torch uses as well.

    Args:
        ordinal: which GPU.
        arch: what to compile for, as "sm_90a".
        folder: of compiled kernels, see `compiler.compile_build`.

    Raises:
        TuneError: no driver or no such GPU.
    """

    def __init__(self, ordinal: int, arch: str, folder: str | None = None) -> None:
        from .devices import this_gpu

        this_gpu(ordinal)  # its clear errors
        from cuda.bindings import driver

        self._driver, self._arch, self._folder = driver, arch, folder
        self._context = self.do(driver.cuDevicePrimaryCtxRetain(self.do(driver.cuDeviceGet(ordinal))))
        self._modules: list[Any] = []

    def do(self, answer: tuple[Any, ...]) -> Any:
        """The value of a driver call. Raises TuneError for its error."""
        status, *values = answer
        if int(status) != 0:
            _, name = self._driver.cuGetErrorName(status)
            raise TuneError(f"the CUDA driver says {bytes(name).decode()}")
        return values[0] if values else None

    def enter(self) -> None:
        """Makes the GPU's context that of this thread."""
        self.do(self._driver.cuCtxSetCurrent(self._context))

    def load(self, build: Build) -> Any:
        compiled: Compiled = compile_build(build, self._arch, self._folder)
        try:
            module = self.do(self._driver.cuModuleLoadData(compiled.cubin))
        except TuneError:
            if not compiled.shipped:
                raise
            # of a newer CUDA than the driver: what is compiled here fits
            compiled = compile_build(build, self._arch, self._folder, shipped=False)
            module = self.do(self._driver.cuModuleLoadData(compiled.cubin))
        self._modules.append(module)
        kernel = self.do(self._driver.cuModuleGetFunction(module, compiled.kernel.encode()))
        attribute = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self.do(self._driver.cuFuncSetAttribute(kernel, attribute, build.shared_bytes))
        return kernel

    def start(
        self, kernel: Any, build: Build, grid: tuple[int, int, int], arguments: ctypes.Structure, stream: Any
    ) -> None:
        """Starts a kernel on a stream."""
        # kernels take one structure by value: the driver copies it from this address before the call returns
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
        block = (build.threads, 1, 1)
        where = ctypes.addressof(pointers)
        self.do(self._driver.cuLaunchKernel(kernel, *grid, *block, build.shared_bytes, stream, where, 0))

    def unload(self) -> None:
        """Frees the kernels."""
        for module in self._modules:
            self.do(self._driver.cuModuleUnload(module))
        self._modules = []


class Gpu(Driver):
    """A `Machine`: a GPU on one stream of its own, and the thread's current device until `release`.

    Arguments and errors as of `Driver`.
    """

    def __init__(self, ordinal: int, arch: str, folder: str | None = None) -> None:
        super().__init__(ordinal, arch, folder)
        driver = self._driver
        self._before = self.do(driver.cuCtxGetCurrent())
        self.enter()
        self._stream = self.do(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        self._events = [self.do(driver.cuEventCreate(0)) for _ in range(2)]
        self._memory: list[Any] = []
        self._graphs: list[Any] = []
        self._workers: Workers | None = None

    def prepare(self, builds: Sequence[Build]) -> None:
        if len(builds) > 2:
            if self._workers is None:
                self._workers = Workers(self._arch, self._folder)
            self._workers.compile(builds)

    def upload(self, array: Array) -> int:
        data = np.ascontiguousarray(array)
        pointer = self.do(self._driver.cuMemAlloc(max(data.nbytes, 16)))
        self._memory.append(pointer)
        self.do(self._driver.cuMemcpyHtoD(pointer, data.ctypes.data, data.nbytes))
        return int(pointer)

    def download(self, address: int, like: Array) -> Array:
        self.do(self._driver.cuStreamSynchronize(self._stream))
        found = np.empty_like(like)
        self.do(self._driver.cuMemcpyDtoH(found.ctypes.data, address, found.nbytes))
        return found

    def fill(self, address: int, byte: int, size: int) -> None:
        self.do(self._driver.cuMemsetD8Async(address, byte, size, self._stream))

    def launch(self, kernel: Any, build: Build, grid: tuple[int, int, int], arguments: ctypes.Structure) -> None:
        self.start(kernel, build, grid, arguments, self._stream)

    def matrix_product(self, kind: str, a: int, w: int, out: int, shape: tuple[int, int, int]) -> Work:
        from .library import torch_product

        return torch_product(kind, a, w, out, shape, int(self._stream))

    def seconds(self, work: Work, before: Work | None) -> float:
        if before is not None:
            before()
        start, end = self._events
        self.do(self._driver.cuEventRecord(start, self._stream))
        work()
        self.do(self._driver.cuEventRecord(end, self._stream))
        return self._elapsed()

    def graph(self, work: Work, before: Work | None, times: int) -> Callable[[], float]:
        driver, (start, end) = self._driver, self._events
        # inside of a graph an event is a node of its own if it is recorded as an external one
        external = int(driver.CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL)
        self.do(
            driver.cuStreamBeginCapture(self._stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        )
        if before is not None:
            before()
        self.do(driver.cuEventRecordWithFlags(start, self._stream, external))
        for _ in range(times):
            work()
        self.do(driver.cuEventRecordWithFlags(end, self._stream, external))
        captured = self.do(driver.cuStreamEndCapture(self._stream))
        run = self.do(driver.cuGraphInstantiate(captured, 0))
        self.do(driver.cuGraphDestroy(captured))
        self._graphs.append(run)

        def replay() -> float:
            self.do(driver.cuGraphLaunch(run, self._stream))
            return self._elapsed() / times

        return replay

    def _elapsed(self) -> float:
        start, end = self._events
        self.do(self._driver.cuStreamSynchronize(self._stream))
        milliseconds: float = self.do(self._driver.cuEventElapsedTime(start, end))
        return milliseconds / 1e3

    def release(self) -> None:
        self.do(self._driver.cuStreamSynchronize(self._stream))
        for run in self._graphs:
            self.do(self._driver.cuGraphExecDestroy(run))
        for pointer in self._memory:
            self.do(self._driver.cuMemFree(pointer))
        self._memory, self._graphs = [], []
        if self._workers is not None:
            self._workers.close()
            self._workers = None
        self.unload()
        for event in self._events:
            self.do(self._driver.cuEventDestroy(event))
        self.do(self._driver.cuStreamDestroy(self._stream))
        self.do(self._driver.cuCtxSetCurrent(self._before))
