"""The kernels of this build: what they are, which this CPU can run, which one runs by default."""

from __future__ import annotations

from typing import TypedDict

from bitwright.runtime._load import native

__all__ = ["KernelInfo", "available_cpus", "kernels"]


class KernelInfo(TypedDict):
    """Facts about one kernel."""

    name: str
    operation: str
    isa: str
    supported: bool
    default: bool
    about: str
    tiles: list[str]


def kernels() -> list[KernelInfo]:
    """Lists the kernels.

    Returns:
        One dict a kernel: ``name`` ("bconv_avx2"), ``operation`` ("bconv": binary convolution and dense layers;
        "bdepthwise": depthwise ones; "fconv": float ones; "qconv": int8 ones; "epilogue": everything after the sum;
        "pool": maxima and means of windows; "pack": numbers to bits; "bmatmul": ends of matrix products, bit planes),
        ``isa``, ``supported`` (by this CPU), ``default`` (runs if nothing is forced), ``about``,
        ``tiles``: register tiles to choose from, pixels x channels, the usual one first; empty where there is one.

    A session takes ``kernel=``, or else the environment variable ``BITWRIGHT_KERNEL``: the name of an instruction set
    ("portable", "avx2": no kernel uses more than that) or kernel names, perhaps with a tile, separated by commas
    ("bconv_avx2/3x64,epilogue_portable": the other operations keep their default). Float layers that gain by it run by
    minimal filtering ("fconv_minimal_avx512"), which rounds otherwise; "fconv_avx512" forces plain sums.
    """
    return list(native.kernels())


def available_cpus() -> int:
    """The number of CPUs that this process may use (its affinity mask)."""
    return int(native.available_cpus())
