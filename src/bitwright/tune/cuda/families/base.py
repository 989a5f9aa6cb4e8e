"""What all families of CUDA kernels share: builds, launches, and the limits of a multiprocessor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from ...config import Config
from ...device import Device
from ...formats import format_of
from ...problem import Problem
from ...template import Template
from ..conv import Conv2d
from ..source import source_of

OUT_CODES = {"s32": 0, "f32": 1, "f16": 2, "bf16": 3, "bits": 4}
"""BW_OUT of kernels/epilogue.cuh."""


@dataclass(frozen=True)
class Build:
    """One kernel to compile.

    Attributes:
        kernel: the function's name, and that of its file in kernels/.
        defines: compile-time parameters.
        threads: of a block.
        shared_bytes: dynamic shared memory of a block.
        logic: "and" or "xor": which identity (`algebra.terms_of`) its sums need; "exact": the sums are the product;
            "direct": so they are, of planes of bits and weights in canonical words.
        file: in kernels/ that the function is in, if it has another name.
        library: whose headers the source includes: "cutlass" or none.
    """

    kernel: str
    defines: tuple[tuple[str, int], ...]
    threads: int
    shared_bytes: int
    logic: str
    file: str = ""
    library: str = ""

    @property
    def source(self) -> str:
        """The source text, whole but for the library's headers."""
        return source_of(self.file or self.kernel, dict(self.defines))


@dataclass(frozen=True)
class Launch:
    """Blocks in x (columns), y (rows) and z (parts of K)."""

    grid: tuple[int, int, int]
    swizzle: int

    @property
    def split(self) -> int:
        return self.grid[2]


class CudaTemplate(Template):
    """A family whose kernels take a `Product` (kernels/product.cuh)."""

    kind = "cuda"
    layout: ClassVar[str] = "rows128"  # rows of bits, least significant first, padded with zeros to 128 bits
    outputs: ClassVar[frozenset[str]] = frozenset(OUT_CODES)
    convolves: ClassVar[bool] = True
    grouped: ClassVar[bool] = False  # whether it convolves in groups, along a depth, transposed
    deep: ClassVar[bool] = False
    transposes: ClassVar[bool] = False

    @abstractmethod
    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        """The kernel of a valid config."""

    @abstractmethod
    def launch_of(self, config: Config, problem: Problem) -> Launch:
        """The grid of a valid config."""

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        """The reason why the family does not serve a problem on a device, whatever the parameters."""
        if problem.op not in ("gemm", "conv2d"):
            return f"{self.name} multiplies matrices and convolves; it does not run a {problem.op}"
        if problem.w != "pm1":
            return f"{self.name} has weights pm1, not {problem.w}"
        if problem.out not in self.outputs:
            return f"{self.name} does not write {problem.out} for {problem.a} activations"
        if problem.op == "conv2d":
            if not self.convolves:
                return f"{self.name} has no convolution"
            conv = Conv2d.parse(problem.detail)
            if conv.taps * conv.group_channels != problem.k:
                return f"k is {problem.k}, the geometry has {conv.taps} taps of {conv.group_channels} channels"
            if problem.n % conv.groups:
                return f"{problem.n} output channels cannot be split into {conv.groups} groups"
            if conv.groups > 1 and not self.grouped:
                return f"{self.name} has no groups, the convolution {conv.groups}"
            if conv.deep and not self.deep:
                return f"{self.name} has no convolution along a depth"
            if conv.transposed and not self.transposes:
                return f"{self.name} has no transposed convolution"
            if format_of(problem.a).kind != "sign" and conv.fill != 0:
                return f"a map of {problem.a} is padded with 0, not with {conv.fill}"
        return None


def shared_flags(problem: Problem) -> dict[str, int]:
    """Compile-time parameters that come from the problem."""
    a = format_of(problem.a)
    return {
        "out": OUT_CODES[problem.out],
        "conv": int(problem.op == "conv2d"),
        "planes": max(a.planes, 1),
        "signed": int(a.kind == "signed"),
    }


def chunks_of_problem(problem: Problem) -> int:
    """Chunks of 128 bits that a row of weights has: of a convolution whole chunks for each tap."""
    if problem.op == "conv2d":
        conv = Conv2d.parse(problem.detail)
        return conv.taps * ceil(conv.c / 128)
    return ceil(problem.k / 128)


def residency(threads: int, registers: int, shared_bytes: int, device: Device) -> int:
    """Blocks that a multiprocessor holds at once. The driver keeps 1 KB of shared memory a block from sm_80 on."""
    reserved = 1024 if device.number("cc") >= 80 else 0
    return min(
        device.number("threads_sm") // threads,
        device.number("registers_sm") // (threads * registers),
        device.number("smem_sm") // (shared_bytes + reserved),
        32,
    )


def finish_build(problem: Problem, logic: str, sums: int = 0) -> Build:
    """The kernel that makes the output of sums: of a product whose K was split, or of a library's.

    Args:
        problem: whose output.
        logic: as of the `Build` that made the sums.
        sums: 0: integers, 1: floats that are integers, 2: floats.
    """
    flags = shared_flags(problem)
    defines = {"out": flags["out"], "conv": flags["conv"], "threads": 128, "sums": sums}
    return Build("finish", tuple(sorted(defines.items())), 128, 0, logic)


def finish_grid(problem: Problem, build: Build) -> tuple[int, int, int]:
    """Blocks of `finish_build`: a warp for 32 columns of a row."""
    return (ceil(problem.n / 32), ceil(problem.m * 32 / build.threads), 1)


def number(parameters: Mapping[str, int | str], name: str) -> int:
    """A parameter that is a number."""
    value = parameters[name]
    if not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}, not a number")
    return value


def planes_of_problem(problem: Problem) -> int:
    """How often the product runs over K."""
    return max(format_of(problem.a).planes, 1)
