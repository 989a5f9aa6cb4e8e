"""Kernels to machine code by NVRTC through cuda.core: no nvcc, no host compiler, no GPU. Results are kept in files."""

from __future__ import annotations

import hashlib
import io
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bitwright.files import write_atomically

from ..errors import TuneError
from . import cutlass, prebuilt
from .devices import INSTALL, nvrtc_version
from .families.base import Build

_FLAGS = ("c++17", "550")  # standard; suppressed: set but never used, which depends on the parameters
_ARCH = re.compile(r"sm_\d{2,3}[af]?")


@dataclass(frozen=True)
class Compiled:
    """Machine code of one kernel.

    Attributes:
        kernel: its name in the code.
        arch: what it was compiled for.
        cubin: the ELF file.
        shipped: whether it came with the package (`prebuilt.py`).
    """

    kernel: str
    arch: str
    cubin: bytes
    shipped: bool = False


def available() -> str | None:
    """None if kernels can be compiled here, or what is missing."""
    try:
        import cuda.core  # noqa: F401
    except ImportError as error:
        return f"the packages of {INSTALL} ({error})"
    try:
        nvrtc_version()
    except TuneError as error:
        return str(error)
    return None


def compile_build(
    build: Build, arch: str, folder: str | os.PathLike[str] | None = None, *, shipped: bool = True
) -> Compiled:
    """Compiles a kernel, or takes it from what the package ships or from the cache.

    Args:
        build: source and parameters.
        arch: as "sm_90a".
        folder: of the cache; by default `kernels` beside the tuner's store. Its files are keyed by the whole source,
            the flags, the architecture and the versions of NVRTC and of a library; a damaged one is compiled again.
        shipped: whether shipped kernels may be taken.

    Raises:
        TuneError: no such architecture, the packages or a library's headers are missing, or NVRTC refuses the source
            (with its words).
    """
    if not _ARCH.fullmatch(arch):
        raise TuneError(f"arch is {arch!r}; something like 'sm_90a' is expected")
    ready = prebuilt.cubin_of(build.source, arch) if shipped and not build.library else None
    if ready is not None:
        return Compiled(build.kernel, arch, ready, True)
    path = _cache_path(build, arch, folder)
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    digest, cubin = data[:32], data[32:]
    if len(digest) < 32 or hashlib.sha256(cubin).digest() != digest:
        cubin = compile_source(build.source, arch, build.library)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, hashlib.sha256(cubin).digest() + cubin)
    return Compiled(build.kernel, arch, cubin)


def compile_source(source: str, arch: str, library: str = "") -> bytes:
    """A cubin, without the cache. `library`: whose headers the source includes, see `Build`.

    Raises:
        TuneError: the packages are missing, or NVRTC refuses the source.
    """
    try:
        from cuda.core import Program, ProgramOptions
    except ImportError as error:
        raise TuneError(f"kernels are compiled with the packages of {INSTALL} ({error})") from None
    nvrtc_version()
    log = io.StringIO()
    suppressed = [int(_FLAGS[1]), *(cutlass.DIAGNOSTICS if library else ())]
    # CCCL's functions are marked for neither side: with a library's headers the device is the default
    options = ProgramOptions(
        arch=arch,
        std=_FLAGS[0],
        diag_suppress=suppressed,
        include_path=_folders(library),
        device_as_default_execution_space=bool(library),
    )
    try:
        code = Program(source, "c++", options).compile("cubin", logs=log).code
    except Exception as error:  # cuda.core's own error type differs between its versions
        raise TuneError(f"NVRTC refused the kernel for {arch}: {error}\n{log.getvalue()[:4000]}") from None
    return bytes(code)


def _folders(library: str) -> list[str]:
    if library not in ("", "cutlass"):
        raise TuneError(f"no library {library!r} is known; cutlass is")
    return list(cutlass.headers()) if library else []


def _cache_path(build: Build, arch: str, folder: str | os.PathLike[str] | None) -> Path:
    if folder is None:
        from bitwright.runtime.tuning import default_cache_path

        folder = default_cache_path().parent / "kernels"
    library = (cutlass.fingerprint(),) if build.library else ()
    key = "\0".join((build.source, arch, *_FLAGS, _version(), *library))
    return Path(folder) / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.cubin"


@lru_cache(maxsize=1)
def _version() -> str:
    return nvrtc_version()
