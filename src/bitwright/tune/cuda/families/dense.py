"""Dense products: the same numbers as bytes or halves on both sides, unpacked ahead. What 1-bit kernels must beat."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import ceil
from typing import ClassVar

from ...config import Config
from ...device import Device
from ...formats import format_of, limit_of
from ...problem import Problem
from ..conv import Conv2d
from .base import Build, CudaTemplate, Launch, finish_build, finish_grid, number, shared_flags
from .tiled import TiledTemplate

BITS = {"s8": 8, "f16": 16, "bf16": 16}
"""Of a number of each type."""
_EXACT = 1 << 24  # float32 holds every integer up to here
_CHUNK = 128  # bits that a row is padded to


def why_not_type(kind: str, problem: Problem) -> str | None:
    """The reason why numbers of a type do not give a problem's exact product."""
    a = format_of(problem.a)
    if a.kind == "float":
        if kind != problem.a:
            return f"{problem.a} activations are no numbers of type {kind}"
        if problem.out in ("s32", "bits"):
            return f"sums of {problem.a} activations are no integers: {problem.out} has no meaning"
        return None
    if kind != "s8" and limit_of(problem.a, problem.w, problem.k) > _EXACT:
        return f"sums of {problem.k} products exceed 2^24, beyond which float32 has no exact integers"
    return None


class DenseTemplate(TiledTemplate):
    """What both dense families of our own share: rows of numbers in place of rows of bits."""

    layout = "numbers"

    @staticmethod
    def type_of(config: Config) -> str:
        """Of both sides."""
        return str(config.parameters.get("type", "s8"))

    def passes(self, problem: Problem) -> int:
        return 1

    def steps(self, config: Config, problem: Problem) -> int:
        bits, taps, length = BITS[self.type_of(config)], 1, problem.k
        if problem.op == "conv2d":
            conv = Conv2d.parse(problem.detail)
            taps, length = conv.taps, conv.c
        return ceil(taps * ceil(length * bits / _CHUNK) * _CHUNK / bits / number(config.parameters, "bk"))

    def stage_bytes(self, config: Config, problem: Problem) -> int:
        return super().stage_bytes(config, problem) * BITS[self.type_of(config)]

    def why_never(self, config: Config, problem: Problem, device: Device) -> str | None:
        return (
            self.why_not_at_all(problem, device)
            or why_not_type(self.type_of(config), problem)
            or self.why_tile_invalid(config, problem, device)
        )

    def defines(self, config: Config, problem: Problem) -> dict[str, int]:
        """Compile-time parameters that both kernels have."""
        a = format_of(problem.a)
        flags = {**shared_flags(problem), "planes": 1, "signed": 0, "unsigned": int(a.kind == "unsigned")}
        tile = {name: number(config.parameters, name) for name in ("bm", "bn", "bk", "wm", "wn", "stages")}
        return {**tile, **flags, "threads": self.threads(config)}


class MmaDense(DenseTemplate):
    """Bytes through m16n8k32, halves through m16n8k16 (kernels/mma_dense.cuh)."""

    name, version = "mma_dense", 1
    rate = 0.25

    def tiles(self, device: Device) -> Iterable[dict[str, int | str]]:
        old = device.number("cc") < 80
        for kind in ("s8", "f16"):
            # 64 or 128 bytes of K a step
            for step, (bm, bn), (wm, wn), stages in product(
                (512, 1024),
                ((128, 128), (128, 256), (256, 128), (64, 128), (128, 64), (64, 64), (32, 128), (16, 128)),
                ((64, 64), (32, 64), (64, 32), (32, 32), (16, 32)),
                (2,) if old else (3, 4),
            ):
                if wm <= bm and wn <= bn and (wm > 16 or bm == 16) and (bm // wm) * (bn // wn) <= 8:
                    tile = {"bm": bm, "bn": bn, "bk": step // BITS[kind], "wm": wm, "wn": wn, "stages": stages}
                    yield {**tile, "type": kind}

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        return super().cost(config, problem, device) * (1 if self.type_of(config) == "s8" else 2)

    def why_launch_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        if format_of(problem.a).kind == "float" and number(config.parameters, "split") > 1:
            return "float sums would depend on the order in which parts of K are added"
        return super().why_launch_invalid(config, problem, device)

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        defines = self.defines(config, problem)
        defines |= {"bits": BITS[self.type_of(config)], "real": int(format_of(problem.a).kind == "float")}
        shared = self.shared_bytes(config, problem)
        logic = f"dense_{self.type_of(config)}"
        return Build("mma_dense", tuple(sorted(defines.items())), defines["threads"], shared, logic)


class WgmmaDense(DenseTemplate):
    """Bytes through Hopper's m64nNk32 (kernels/wgmma_dense.cuh)."""

    name, version = "wgmma_dense", 1
    rate = 0.5

    def tiles(self, device: Device) -> Iterable[dict[str, int | str]]:
        for bm, bn, bk, wm, stages in product((64, 128, 256), (64, 128, 192, 256), (64, 128), (64, 128), (3, 4, 6)):
            if wm <= bm:
                yield {"bm": bm, "bn": bn, "bk": bk, "wm": wm, "wn": bn, "stages": stages}

    def threads(self, config: Config) -> int:
        p = config.parameters
        return 128 * (number(p, "bm") // number(p, "wm"))

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        if not device.number("wgmma"):
            return f"sm_{device['cc']} has no wgmma; only sm_90a has"
        return super().why_not_at_all(problem, device)

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        defines = self.defines(config, problem)
        defines["wgmma_n"] = defines["bn"]
        shared = self.shared_bytes(config, problem)
        return Build("wgmma_dense", tuple(sorted(defines.items())), defines["threads"], shared, "dense_s8")


class TorchDense(CudaTemplate):
    """NVIDIA's own products, as torch calls them: `_int_mm` of bytes, `mm` of halves into float32.

    A pass of ours (kernels/finish.cuh) makes the output of the sums, and belongs to the candidate's time; s32 outputs
    of bytes need none.
    """

    name, version = "torch_dense", 1
    layout: ClassVar[str] = "numbers"
    convolves = False

    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        for kind in BITS:
            yield Config.of(self.name, {"type": kind})

    def why_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        kind = str(config["type"])
        reason = self.why_not_at_all(problem, device) or why_not_type(kind, problem)
        if reason or kind != "s8":
            return reason
        if problem.m <= 16:
            return f"{problem.m} rows; torch._int_mm takes 17 or more"
        if problem.n % 8:
            return f"{problem.n} columns; torch._int_mm takes multiples of 8"
        if format_of(problem.a).values[1] > 127:
            return f"{problem.a} activations exceed a signed byte, which torch._int_mm takes"
        return None

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        rate = (0.25 if config["type"] == "s8" else 0.125) * 8192.0 * device.number("sms")
        return 8000.0 + problem.products / rate

    @staticmethod
    def is_whole(config: Config, problem: Problem) -> bool:
        """Whether the library writes the output itself."""
        return problem.out == "s32" and config["type"] == "s8"

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        """The pass that follows the library's product."""
        kind = str(config["type"])
        sums = 0 if kind == "s8" else 2 if format_of(problem.a).kind == "float" else 1
        return finish_build(problem, f"dense_{kind}", sums)

    def launch_of(self, config: Config, problem: Problem) -> Launch:
        return Launch(finish_grid(problem, finish_build(problem, "")), 1)
