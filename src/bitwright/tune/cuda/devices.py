"""CUDA devices as the tuner sees them: a table for work without hardware, and the GPU at hand.

Limits of architectures are those of NVIDIA's CUDA C++ Programming Guide ("Technical specifications per compute
capability"); multiprocessors and L2 of named GPUs are nominal, from NVIDIA's data sheets. Which 1-bit instructions are
native was found in generated machine code (docs/develop/gpu.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Parameter
from ..device import Device
from ..errors import TuneError

INSTALL = "pip install 'bitwright[cuda]'"


@dataclass(frozen=True)
class Architecture:
    """What all GPUs of one compute capability share.

    Attributes:
        cc: compute capability, 10 * major + minor.
        smem: bytes of shared memory that a block may ask for.
        smem_sm: bytes of a multiprocessor.
        threads_sm: resident threads of a multiprocessor.
        b1: native 1-bit matrix instructions: "xor", "and+xor", "and" or "none" (emulated, slower than int8).
        wgmma: whether there are warpgroup instructions (sm_90a).
    """

    cc: int
    smem: int
    smem_sm: int
    threads_sm: int
    b1: str
    wgmma: bool = False

    @property
    def target(self) -> str:
        """What to compile for."""
        return f"sm_{self.cc}a" if self.wgmma else f"sm_{self.cc}"


ARCHITECTURES: dict[int, Architecture] = {
    a.cc: a
    for a in (
        Architecture(75, 64 << 10, 64 << 10, 1024, "xor"),
        Architecture(80, 163 << 10, 164 << 10, 2048, "and+xor"),
        Architecture(86, 99 << 10, 100 << 10, 1536, "and+xor"),
        Architecture(87, 163 << 10, 164 << 10, 1536, "and+xor"),
        Architecture(89, 99 << 10, 100 << 10, 1536, "and+xor"),
        Architecture(90, 227 << 10, 228 << 10, 2048, "and", wgmma=True),
        Architecture(100, 227 << 10, 228 << 10, 2048, "none"),
        Architecture(103, 227 << 10, 228 << 10, 2048, "none"),
        Architecture(120, 99 << 10, 100 << 10, 1536, "none"),
    )
}
"""By compute capability."""

_REGISTERS = 65536  # of a multiprocessor, all architectures above

_MODELS: dict[str, tuple[int, int, int]] = {  # cc, multiprocessors, L2 bytes
    "t4": (75, 40, 4 << 20),
    "rtx2080ti": (75, 68, 11 << 19),
    "a100": (80, 108, 40 << 20),
    "a30": (80, 56, 24 << 20),
    "rtx3080": (86, 68, 5 << 20),
    "rtx3090": (86, 82, 6 << 20),
    "a10": (86, 72, 6 << 20),
    "orin": (87, 16, 4 << 20),
    "rtx4090": (89, 128, 72 << 20),
    "l4": (89, 58, 48 << 20),
    "l40s": (89, 142, 96 << 20),
    "h100": (90, 132, 50 << 20),
    "h100pcie": (90, 114, 50 << 20),
    "h200": (90, 132, 50 << 20),
    "b200": (100, 148, 126 << 20),
    "b300": (103, 148, 126 << 20),
    "rtx5090": (120, 170, 96 << 20),
}


def _device(cc: int, name: str, sms: int, l2: int, smem: int, smem_sm: int, threads_sm: int, toolchain: str) -> Device:
    known = architecture_of(cc)
    facts: dict[str, Parameter] = {
        "cc": cc,
        "target": known.target,
        "sms": sms,
        "l2": l2,
        "smem": smem,
        "smem_sm": smem_sm,
        "registers_sm": _REGISTERS,
        "threads_sm": threads_sm,
        "b1": known.b1,
        "wgmma": int(known.wgmma),
    }
    return Device.of("cuda", name, facts, toolchain)


def architecture_of(cc: int) -> Architecture:
    """The architecture of a compute capability; an unknown newer one as the newest known of its generation.

    Raises:
        TuneError: older than 7.5, or of no known generation.
    """
    if cc in ARCHITECTURES:
        return ARCHITECTURES[cc]
    same = [a for known, a in ARCHITECTURES.items() if known // 10 == cc // 10 and known < cc]
    if not same:
        known = ", ".join(f"{c / 10:.1f}" for c in ARCHITECTURES)
        raise TuneError(f"compute capability {cc / 10:.1f} is not supported; supported are {known}")
    nearest = same[-1]
    return Architecture(cc, nearest.smem, nearest.smem_sm, nearest.threads_sm, nearest.b1, nearest.wgmma)


def model(name: str, toolchain: str = "table") -> Device:
    """A GPU of the table, by its short name (`models()`).

    Raises:
        TuneError: no such name.
    """
    if name not in _MODELS:
        raise TuneError(f"unknown GPU {name!r}; known are {', '.join(_MODELS)}")
    cc, sms, l2 = _MODELS[name]
    a = ARCHITECTURES[cc]
    return _device(cc, name, sms, l2, a.smem, a.smem_sm, a.threads_sm, toolchain)


def models() -> list[str]:
    """Short names of the table's GPUs."""
    return list(_MODELS)


def this_gpu(ordinal: int = 0) -> Device:
    """The GPU at hand, read through cuda.core; the thread's current device stays. (Not run on hardware yet.)

    Raises:
        TuneError: cuda-core is not installed, there is no driver, no such GPU, or it is older than 7.5.
    """
    try:
        from cuda.bindings import driver
        from cuda.core import Device as CudaDevice
    except ImportError as error:
        raise TuneError(f"CUDA needs the packages of {INSTALL} ({error})") from None
    try:
        gpu = CudaDevice(ordinal)
        _, before = driver.cuCtxGetCurrent()
        gpu.set_current()  # fails where the GPU cannot be used
        driver.cuCtxSetCurrent(before)
    except Exception as error:  # cuda.core raises several unrelated types where driver or device are missing
        raise TuneError(f"no CUDA device {ordinal} can be used: {error}") from None
    status, version = driver.cuDriverGetVersion()
    if int(status) != 0:
        raise TuneError(f"the CUDA driver does not tell its version (error {int(status)})")
    has = gpu.properties
    cc = 10 * has.compute_capability_major + has.compute_capability_minor
    # the major version alone: what a driver accepts and how it schedules; a patch keeps the timings
    compiler = nvrtc_version()
    why = why_not_loaded(version, compiler)
    if why is not None:
        raise TuneError(why)
    toolchain = f"driver {version // 1000}, {compiler}"
    return _device(
        cc,
        gpu.name,
        has.multiprocessor_count,
        has.l2_cache_size,
        has.max_shared_memory_per_block_optin,
        has.max_shared_memory_per_multiprocessor,
        has.max_threads_per_multiprocessor,
        toolchain,
    )


def why_not_loaded(driver: int, compiler: str) -> str | None:
    """Why a driver (its CUDA version as 12080) does not load what a compiler ("nvrtc 13.5") makes, or None."""
    major = int(compiler.split()[-1].partition(".")[0])
    if major <= driver // 1000:
        return None
    have = f"{driver // 1000}.{driver % 1000 // 10}"
    return (
        f"the driver is of CUDA {have} and does not load kernels of {compiler}: update the driver, or install "
        f"'cuda-bindings<{driver // 1000 + 1}' with NVRTC {driver // 1000}"
    )


def nvrtc_version() -> str:
    """As "nvrtc 13.5".

    Raises:
        TuneError: NVRTC is not installed.
    """
    try:
        from cuda.bindings import nvrtc

        status, major, minor = nvrtc.nvrtcVersion()
    except Exception as error:  # a missing library is reported by several unrelated types
        raise TuneError(f"NVRTC needs the packages of {INSTALL} ({error})") from None
    if int(status) != 0:
        raise TuneError(f"NVRTC does not tell its version (error {int(status)})")
    return f"nvrtc {major}.{minor}"
