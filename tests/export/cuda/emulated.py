"""The emulator in the driver's place: the operators' whole path on CPU tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitwright.export.cuda import Executor
from bitwright.tune import Config, Problem, Store
from bitwright.tune.cuda import Choice, Chooser, model
from bitwright.tune.cuda.emulator import Emulated
from bitwright.tune.cuda.families import Build


def _array(tensor: Tensor) -> NDArray[Any]:
    """The memory that a tensor's elements span."""
    span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    flat = torch.as_strided(tensor, (span,), (1,))
    return flat.view(torch.uint8).numpy() if flat.dtype != torch.uint8 else flat.numpy()


class EmulatorLauncher:
    """`Launcher` whose kernels run in the emulator, which checks every address against the tensors it is given."""

    def __init__(self) -> None:
        self.is_capturing = False
        self.loaded: list[str] = []
        self.launched: list[str] = []

    def capturing(self) -> bool:
        return self.is_capturing

    def load(self, build: Build) -> Emulated:
        assert not self.is_capturing
        self.loaded.append(build.kernel)
        return Emulated(build)

    def launch(
        self,
        kernel: Emulated,
        build: Build,
        grid: tuple[int, int, int],
        arguments: ctypes.Structure,
        reads: Sequence[Tensor],
        writes: Sequence[Tensor],
    ) -> None:
        self.launched.append(build.kernel)
        kernel(
            arguments,
            grid,
            build.threads,
            build.shared_bytes,
            [_array(t) for t in reads],
            [_array(t) for t in writes],
            seed=len(self.launched),
        )


class Forced(Chooser):
    """Chooses a given config where it is valid."""

    def __init__(self, device: str, config: Config | None = None) -> None:
        super().__init__(model(device), Store(Path(__file__).parent / "no store"), shipped=[])
        self._config_given = config

    def choose(self, problem: Problem, packed: bool = False) -> Choice:
        if self._config_given is None:
            return super().choose(problem, packed)
        family = self._templates[self._config_given.template]
        # a grid too small to be worth its while computes the same
        why = getattr(family, "why_never", family.why_invalid)(self._config_given, problem, self.device)
        assert why is None, why
        return self._choice(problem, self._config_given, "forced")


def launched(run: Executor) -> list[str]:
    """Kernels that an executor of the emulator started, in order; the list itself."""
    assert isinstance(run.launcher, EmulatorLauncher)
    return run.launcher.launched


def executor(device: str = "orin", config: Config | None = None) -> Executor:
    return Executor(EmulatorLauncher(), Forced(device, config))


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal shapes and bit patterns."""
    left, right = a.contiguous().numpy(), b.contiguous().numpy()
    return left.shape == right.shape and bool(np.array_equal(left.view(np.int32), right.view(np.int32)))
