"""The driver behind the operators: torch's current stream. All that tests without a GPU cannot run."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bitwright.tune.cuda import Chooser, RefusedError, this_gpu
from bitwright.tune.cuda.families import Build
from bitwright.tune.cuda.gpu import Driver, Gpu
from bitwright.tune.errors import TuneError

from .executor import Executor

_executors: dict[int, Executor | RefusedError] = {}


class CudaLauncher(Driver):
    """A `Launcher` on torch's current stream. Arguments and errors as of `Driver`."""

    def capturing(self) -> bool:
        return bool(torch.cuda.is_current_stream_capturing())

    def load(self, build: Build) -> Any:
        self.enter()
        return super().load(build)

    def launch(
        self,
        kernel: Any,
        build: Build,
        grid: tuple[int, int, int],
        arguments: ctypes.Structure,
        reads: Sequence[Tensor],
        writes: Sequence[Tensor],
    ) -> None:
        self.enter()
        self.start(kernel, build, grid, arguments, torch.cuda.current_stream(writes[0].device).cuda_stream)


def executor_of(device: torch.device) -> Executor:
    """The executor of a GPU, made at the first question.

    Raises:
        RefusedError: kernels cannot run there (no driver bindings, too old a GPU, a ROCm build of torch).
    """
    index = device.index if device.index is not None else torch.cuda.current_device()
    if index not in _executors:
        try:
            if torch.version.hip is not None:
                raise TuneError("this torch is built for ROCm; the kernels are CUDA's")
            gpu = this_gpu(index)
            target = str(gpu["target"])
            _executors[index] = Executor(CudaLauncher(index, target), Chooser(gpu), lambda: Gpu(index, target))
        except TuneError as error:
            _executors[index] = RefusedError(str(error))
    found = _executors[index]
    if isinstance(found, RefusedError):
        raise found
    return found
