"""`popc`: popcounts on the CUDA cores; tiles for many rows, whole warps along K for few. Any architecture."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import ceil

from ...config import Config
from ...device import Device
from ...formats import format_of
from ...problem import Problem
from .base import Build, CudaTemplate, Launch, number, planes_of_problem, shared_flags
from .tiled import TiledTemplate


class PopcGemm(TiledTemplate):
    """Tiles of bit planes by popcounts (kernels/popc_gemm.cuh)."""

    name, version = "popc_gemm", 1
    rate = 1 / 16
    max_accumulators = 64

    def tiles(self, device: Device) -> Iterable[dict[str, int | str]]:
        first: dict[str, int | str] = {"warps": 8, "tm": 8, "tn": 2, "bk": 512, "stages": 2}
        yield self._tile(first)
        stages = (2,) if device.number("cc") < 80 else (2, 3, 4)
        for warps, tm, tn, bk, depth in product((4, 8), (2, 4, 8, 16), (1, 2, 4), (128, 256, 512, 1024), stages):
            tile: dict[str, int | str] = {"warps": warps, "tm": tm, "tn": tn, "bk": bk, "stages": depth}
            if tile != first:
                yield self._tile(tile)

    @staticmethod
    def _tile(p: dict[str, int | str]) -> dict[str, int | str]:
        """With the names that tiles have: a warp is tm rows by all columns."""
        tm, bn = number(p, "tm"), 32 * number(p, "tn")
        return {"bm": number(p, "warps") * tm, "bn": bn, "bk": p["bk"], "wm": tm, "wn": bn, "stages": p["stages"]}

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        if format_of(problem.a).kind == "float":
            return f"{self.name} has no {problem.a} activations"
        return super().why_not_at_all(problem, device)

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        p = config.parameters
        defines = {name: number(p, name) for name in ("bm", "bn", "bk", "stages")}
        defines |= {"tm": number(p, "wm"), "tn": defines["bn"] // 32, "threads": self.threads(config), "xor": 0}
        defines |= shared_flags(problem)
        shared = self.shared_bytes(config, problem)
        return Build("popc_gemm", tuple(sorted(defines.items())), defines["threads"], shared, "and")


class Gemv(CudaTemplate):
    """Few rows, bound by memory (kernels/gemv.cuh): bit planes by popcounts, 8 bits by dp4a, halves by turned signs."""

    name, version = "gemv", 1
    convolves = False
    most_rows = 64

    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        for threads, tm in product((256, 128, 512, 64), (4, 1, 2, 8)):
            for form in self.forms(problem):
                yield Config.of(self.name, {"threads": threads, "tm": tm, "form": form})

    @staticmethod
    def forms(problem: Problem) -> tuple[str, ...]:
        """How activations may be stored: as planes of bits, as bytes, as halves."""
        a = format_of(problem.a)
        return ("halves",) if a.kind == "float" else ("planes",) if a.planes == 1 else ("planes", "bytes")

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        if format_of(problem.a).kind == "float" and problem.out in ("s32", "bits"):
            return f"sums of {problem.a} activations are no integers: {problem.out} has no meaning"
        return super().why_not_at_all(problem, device)

    def why_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        reason = self.why_not_at_all(problem, device)
        if reason:
            return reason
        if config["form"] not in self.forms(problem):
            return f"{problem.a} activations are not stored as {config['form']}"
        if problem.m > self.most_rows:
            return f"{problem.m} rows; with more than {self.most_rows} tiles read the weights less often"
        tm = number(config.parameters, "tm")
        if tm > 1 and tm >= 2 * problem.m:
            return f"{tm} rows at once, there are {problem.m}"
        return None

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        p = config.parameters
        passes = ceil(problem.m / number(p, "tm"))
        bits = {"planes": planes_of_problem(problem), "bytes": 8, "halves": 16}[str(config["form"])]
        traffic = passes * problem.n * problem.k / 8 + problem.m * problem.k * bits / 8 * ceil(problem.n / 32) / 8
        return (
            1500.0 + traffic / (16.0 * device.number("sms")) + problem.products * bits / (512.0 * device.number("sms"))
        )

    def launch_of(self, config: Config, problem: Problem) -> Launch:
        return Launch((ceil(problem.n / 32), ceil(problem.m / number(config.parameters, "tm")), 1), 1)

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        p, form = config.parameters, str(config["form"])
        flags = shared_flags(problem)
        if form != "planes":
            flags |= {"planes": 1, "signed": 0}
        defines = {"tm": number(p, "tm"), "threads": number(p, "threads"), "xor": 0, **flags}
        defines["a_bits"] = {"planes": 1, "bytes": 8, "halves": 16}[form]
        defines["unsigned"] = int(form == "bytes" and format_of(problem.a).kind == "unsigned")
        shared = defines["tm"] * (32 * 4 + 8)
        if form == "halves":
            defines["bfloat"] = int(problem.a == "bf16")
        logic = "and" if form == "planes" else "exact"
        return Build("gemv", tuple(sorted(defines.items())), defines["threads"], shared, logic)
