"""CUTLASS's headers, where they are installed, and the arguments of the kernels that are made of them."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from functools import lru_cache
from pathlib import Path

from ..errors import TuneError

INSTALL = "pip install 'bitwright[cutlass]'"
VERSIONS = ((4, 2), (4, 3))
"""The first version that is known to work, and the first that is not."""
DIAGNOSTICS = (20044,)  # CUTLASS declares constants of templates extern, NVRTC makes them static


PARAMS = 512
"""Bytes that hold CUTLASS's parameters; the source asserts that they do."""


class Setup(ctypes.Structure):
    """Arguments of the kernel `cutlass_b1_params`, in the order of its source."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ["a", "w", "c", "d", "semaphore", "params"]),
        *(
            (name, ctypes.c_int32)
            for name in ["m", "n", "k", "lda", "ldw", "ldc", "alpha", "beta", "split", "log_tile"]
        ),
    ]


class Params(ctypes.Structure):
    """CUTLASS's parameters, as the kernel `cutlass_b1_params` wrote them."""

    _fields_ = [("bytes", ctypes.c_uint8 * PARAMS)]


@lru_cache(maxsize=1)
def headers() -> tuple[str, ...]:
    """Folders to include from: CUTLASS's, CUDA's and CCCL's.

    Raises:
        TuneError: one of them is not installed, or CUTLASS is of another version; the message says what to install.
    """
    found = importlib.util.find_spec("cutlass_library")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    folder = next((p for place in places if (p := Path(place, "source", "include", "cutlass")).is_dir()), None)
    if folder is None:
        raise TuneError(f"CUTLASS's headers (the package nvidia-cutlass) are not installed; {INSTALL}")
    version = version_of(folder / "version.h")
    if not VERSIONS[0] <= version[:2] < VERSIONS[1]:
        (low, high) = (".".join(map(str, v)) for v in VERSIONS)
        have = ".".join(map(str, version))
        raise TuneError(f"CUTLASS {have} is installed; at least {low} and below {high} is expected; {INSTALL}")
    return (str(folder.parent), *_cuda_headers())


def _cuda_headers() -> tuple[str, ...]:
    try:
        from cuda.pathfinder import find_nvidia_header_directory
    except ImportError as error:
        raise TuneError(f"CUDA's headers are found with the package cuda-pathfinder ({error}); {INSTALL}") from None
    places = {name: find_nvidia_header_directory(name) for name in ("cudart", "cccl")}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        raise TuneError(f"CUDA's headers {' and '.join(missing)} are not installed; {INSTALL}")
    return tuple(str(place) for place in places.values())


def version_of(header: Path) -> tuple[int, ...]:
    """The version in a `version.h` of CUTLASS.

    Raises:
        TuneError: the file is not there, or is something else.
    """
    try:
        text = header.read_text(encoding="utf-8")
    except OSError as error:
        raise TuneError(f"CUTLASS's headers are incomplete: {error}") from None
    found = dict(re.findall(r"#define CUTLASS_(MAJOR|MINOR|PATCH) (\d+)", text))
    if len(found) != 3:
        raise TuneError(f"{header} does not tell CUTLASS's version")
    return tuple(int(found[part]) for part in ("MAJOR", "MINOR", "PATCH"))


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """What compiled kernels depend on: the versions of all three, as their headers tell them.

    Raises:
        TuneError: as `headers`.
    """
    cutlass, cuda, cccl = map(Path, headers())
    files = (
        cutlass / "cutlass" / "version.h",
        cuda / "cuda_runtime_api.h",
        cccl / "cuda" / "std" / "__cccl" / "version.h",
    )
    lines: list[str] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise TuneError(f"the headers for CUTLASS are incomplete: {error}; {INSTALL}") from None
        lines += re.findall(r"#define (?:CUTLASS_M\w+|CUTLASS_PATCH|CUDART_VERSION|_?CCCL_VERSION) +\w+", text)
    return "; ".join(" ".join(line.split()[1:]) for line in lines)
