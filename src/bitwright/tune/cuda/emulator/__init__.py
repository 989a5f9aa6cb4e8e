"""Kernels on the host, lane by lane: the same source as on the GPU, compiled by a host compiler.

Threads of a block are coroutines; matrix instructions move the elements that the PTX ISA says, copies are asynchronous,
shared memory has a race detector, global memory has bounds (block.hpp, machine.hpp, instructions.hpp, wgmma_host.hpp).
It proves that a kernel computes the right bits and synchronizes enough; it says nothing about time.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import TuneError
from .. import cutlass
from ..families.base import Build
from ..source import source_of
from .cutlass_host import overlay

_HERE = Path(__file__).parent
_FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-U_FORTIFY_SOURCE")


class EmulatorError(TuneError):
    """A kernel did something that hardware forbids or leaves undefined: a race, a bad address, a deadlock."""


@dataclass(frozen=True)
class Counts:
    """What a launch executed. `bank_conflicts`: rows of ldmatrix beyond the first in a group of 4 banks."""

    mma: int
    wgmma: int
    ldmatrix: int
    bank_conflicts: int
    copies: int
    global_loads: int
    global_stores: int
    barriers: int


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("writable", ctypes.c_int32),
        ("_", ctypes.c_int32),
    ]


def compiler() -> str | None:
    """A host C++ compiler, or None."""
    wanted = [os.environ.get("CXX"), "g++", "clang++", "c++"]
    return next((found for name in wanted if name and (found := shutil.which(name))), None)


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="bitwright-emulator-")


@lru_cache(maxsize=1)
def _prelude(tool: str) -> list[str]:
    """Options that include the emulator, compiled ahead where the compiler can: it is most of a build's time."""
    header = Path(_folder().name, "prelude.hpp")
    header.write_text('#include "wgmma_host.hpp"\n#include "entry.hpp"\n', encoding="utf-8")
    command = [tool, *(f for f in _FLAGS if f != "-shared"), f"-I{_HERE}", "-x", "c++-header", str(header)]
    target = header.with_suffix(".hpp.gch")
    if subprocess.run([*command, "-o", str(target)], capture_output=True).returncode != 0:
        target.unlink(missing_ok=True)
    return ["-include", str(header)]


@lru_cache(maxsize=1)
def _cutlass() -> list[str]:
    """Options for sources with CUTLASS's headers."""
    folders = cutlass.headers()
    changed = overlay(Path(_folder().name, "cutlass"), Path(folders[0]))
    return [*(f"-I{folder}" for folder in (changed, *folders)), "-fpermissive", "-include", "cutlass_host.hpp"]


@cache
def _library(text: str, library: str) -> ctypes.CDLL:
    tool = compiler()
    if tool is None:
        raise TuneError("the emulator needs a C++17 compiler (g++ or clang++); none was found")
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    source, target = Path(_folder().name, f"{name}.cpp"), Path(_folder().name, f"{name}.so")
    source.write_text(text, encoding="utf-8")
    options = [f"-I{_HERE}", *_prelude(tool), *(_cutlass() if library else [])]
    command = [tool, *_FLAGS, *options, str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise TuneError(f"{tool} refused the kernel source:\n{done.stderr[:4000]}")
    return ctypes.CDLL(str(target))


_KERNELS = {
    "pack": {"pack": "Pack"},
    "compare": {"compare": "Compare"},
    "unpack": {"unpack": "Unpack"},
    "binarize": {"binarize": "Binarize"},
    "cutlass_b1": {"cutlass_b1_params": "Setup", "cutlass_b1": "bw::Gemm::Params"},
}
"""Of files with other kernels than the one `Product` kernel of their name: each kernel's arguments."""


class Emulated:
    """One build of a kernel.

    Raises:
        TuneError: no host compiler, no such kernel, or a library's headers are missing.
    """

    def __init__(self, build: Build) -> None:
        file = build.file or build.kernel
        entries = "".join(f"BW_ENTRY({name}, {of})\n" for name, of in _KERNELS.get(file, {file: "Product"}).items())
        text = f"#define BW_HOST 1\n{source_of(file, dict(build.defines))}\n{entries}"
        self._run = getattr(_library(text, build.library), f"run_{build.kernel}")
        self._run.restype = ctypes.c_int

    def __call__(
        self,
        arguments: ctypes.Structure,
        grid: tuple[int, int, int],
        threads: int,
        shared_bytes: int,
        reads: Sequence[NDArray[Any]],
        writes: Sequence[NDArray[Any]],
        *,
        seed: int = 0,
        late: bool = True,
    ) -> Counts:
        """Runs all blocks.

        Args:
            arguments: pointers in it must point into `reads` and `writes`.
            grid: blocks in x, y, z.
            threads: of a block.
            shared_bytes: dynamic shared memory of a block.
            reads, writes: arrays that the kernel may touch; every other address is an error.
            seed: order of warps and blocks: 0 ascending, 1 warps descending, others random.
            late: whether asynchronous copies and wgmmas happen at their wait, or at their issue.

        Raises:
            EmulatorError: race, address outside of all arrays, misalignment, deadlock, divergence.
        """
        buffers = (_Buffer * (len(reads) + len(writes)))(
            *(
                _Buffer(array.ctypes.data, array.nbytes, writable)
                for writable, arrays in ((0, reads), (1, writes))
                for array in arrays
            )
        )
        stats = (ctypes.c_int64 * 8)()
        error = ctypes.create_string_buffer(1024)
        failed = self._run(
            ctypes.byref(arguments),
            (ctypes.c_int * 3)(*grid),
            ctypes.c_int(threads),
            ctypes.c_int64(shared_bytes),
            buffers,
            ctypes.c_int(len(buffers)),
            ctypes.c_uint(seed),
            ctypes.c_int(late),
            stats,
            error,
            ctypes.c_int(len(error)),
        )
        if failed:
            raise EmulatorError(error.value.decode())
        return Counts(*stats)


def aligned(array: NDArray[Any], alignment: int = 256) -> NDArray[Any]:
    """A copy whose data is aligned as the GPU's allocations are."""
    space = np.empty(array.nbytes + alignment, np.uint8)
    start = -space.ctypes.data % alignment
    copy = space[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
