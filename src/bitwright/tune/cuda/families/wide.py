"""`mma_wide`: 1-bit weights spread to bytes or halves in registers, through the tensor cores' wider instructions."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from ...config import Config
from ...device import Device
from ...formats import format_of
from ...problem import Problem
from .base import Build, number, shared_flags
from .tiled import TiledTemplate

_BITS = {"planes": 1, "bytes": 8, "halves": 16}


class MmaWide(TiledTemplate):
    """W1A8 and W1A16, and bit planes as bytes where 1-bit products are emulated (kernels/mma_wide.cuh)."""

    name, version = "mma_wide", 1
    rate = 0.25

    def tiles(self, device: Device) -> Iterable[dict[str, int | str]]:
        old = device.number("cc") < 80
        first: dict[str, int | str] = {"bm": 128, "bn": 128, "bk": 128, "wm": 64, "wn": 32, "stages": 2 if old else 3}
        yield first
        for bm, bn, bk, wm, wn, stages in product(
            (16, 32, 64, 128), (32, 64, 128, 256), (128, 256, 512), (16, 32, 64), (16, 32, 64), (2, 3, 4)
        ):
            tile: dict[str, int | str] = {"bm": bm, "bn": bn, "bk": bk, "wm": wm, "wn": wn, "stages": stages}
            small = (wm * wn < 512 and bm > 16) or (wm == 16 and bm > 16)
            if small or wm > bm or wn > bn or (bm // wm) * (bn // wn) > 8 or tile == first or (old and stages > 2):
                continue
            yield tile

    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        a = format_of(problem.a)
        forms = ("halves",) if a.kind == "float" else ("planes",) if a.planes == 1 else ("bytes", "planes")
        for compiled in self.tiles(device):
            for form in forms:
                yield from self.launches_of({**compiled, "form": form}, problem, device)

    def stage_bytes(self, config: Config, problem: Problem) -> int:
        p = config.parameters
        bits = _BITS[str(config["form"])]
        return (number(p, "bm") * bits + number(p, "bn")) * number(p, "bk") // 8

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        if format_of(problem.a).kind == "float" and problem.out in ("s32", "bits"):
            return f"sums of {problem.a} activations are no integers: {problem.out} has no meaning"
        if problem.a == "bf16" and device.number("cc") < 80:
            return f"sm_{device['cc']} has no products of bfloat16"
        return super().why_not_at_all(problem, device)

    def why_never(self, config: Config, problem: Problem, device: Device) -> str | None:
        form, a = str(config["form"]), format_of(problem.a)
        if (a.kind == "float") != (form == "halves") or (form == "bytes" and a.planes == 1):
            return f"{problem.a} activations are not stored as {form}"
        if problem.op == "conv2d" and form != "planes":
            return f"{self.name} convolves bit planes, not {form}"
        return super().why_never(config, problem, device)

    def why_launch_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        if config["form"] == "halves" and number(config.parameters, "split") > 1:
            return "float sums would depend on the order in which parts of K are added"
        return super().why_launch_invalid(config, problem, device)

    def could_split_more(self, config: Config, steps: int) -> bool:
        return config["form"] != "halves" and super().could_split_more(config, steps)

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        # planes run over K once each, which the tile's cost counts; bytes and halves do once
        a = format_of(problem.a)
        share = 1.0 if config["form"] == "planes" else 1.0 / max(a.planes, 1)
        return super().cost(config, problem, device) * share

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        p, form = config.parameters, str(config["form"])
        flags = shared_flags(problem)
        if form != "planes":
            flags |= {"planes": 1, "signed": 0}
        defines = {name: number(p, name) for name in ("bm", "bn", "bk", "wm", "wn", "stages")}
        defines |= {"threads": self.threads(config), "a_bits": _BITS[form], **flags}
        # bytes 0 and 1 of planes are both signed and unsigned
        defines["unsigned"] = int(form == "planes" or format_of(problem.a).kind == "unsigned")
        if form == "halves":
            defines["bfloat"] = int(problem.a == "bf16")
        shared = self.shared_bytes(config, problem)
        logic = "and" if form == "planes" else "exact"
        return Build("mma_wide", tuple(sorted(defines.items())), defines["threads"], shared, logic)
