"""`wgmma_b1`: Hopper's 1-bit warpgroup product of our own, sm_90a."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from ...config import Config
from ...device import Device
from ...formats import format_of
from ...problem import Problem
from .base import Build, number, shared_flags
from .tiled import TiledTemplate


class WgmmaB1(TiledTemplate):
    """Tiles of bit planes by wgmma m64nNk256 `and` (kernels/wgmma_b1.cuh)."""

    name, version = "wgmma_b1", 1
    rate = 4.0

    def tiles(self, device: Device) -> Iterable[dict[str, int | str]]:
        first: dict[str, int | str] = {"bm": 128, "bn": 128, "bk": 1024, "wm": 64, "wn": 128, "stages": 4}
        yield first
        for bm, bn, bk, wm, stages in product(
            (64, 128, 192, 256), (32, 64, 96, 128, 192, 256), (256, 512, 1024), (64, 128), (3, 4, 5, 6)
        ):
            tile: dict[str, int | str] = {"bm": bm, "bn": bn, "bk": bk, "wm": wm, "wn": bn, "stages": stages}
            if wm <= bm and tile != first:
                yield tile

    def threads(self, config: Config) -> int:
        p = config.parameters
        return 128 * (number(p, "bm") // number(p, "wm"))

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        if format_of(problem.a).kind == "float":
            return f"{self.name} has no {problem.a} activations"
        if not device.number("wgmma"):
            return f"sm_{device['cc']} has no wgmma; only sm_90a has"
        return super().why_not_at_all(problem, device)

    def why_tile_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        p = config.parameters
        if number(p, "bm") * number(p, "bk") % 8192 or number(p, "bn") * number(p, "bk") % 8192:
            return "a tile's bytes are no multiple of 1024, after which wgmma's swizzles repeat"
        return super().why_tile_invalid(config, problem, device)

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        p = config.parameters
        defines = {name: number(p, name) for name in ("bm", "bn", "bk", "wm", "stages")}
        defines |= {"wgmma_n": defines["bn"], "threads": self.threads(config)} | shared_flags(problem)
        shared = self.shared_bytes(config, problem)
        return Build("wgmma_b1", tuple(sorted(defines.items())), defines["threads"], shared, "and")
