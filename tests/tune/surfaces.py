"""A family with a synthetic cost surface: what the tuner's logic is tested on, without hardware and without a clock."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bitwright.tune import Config, Device, FakeClock, Problem, RecordedRunner, Space, Template, space_of

DEVICE = Device.of("cpu", "test machine", {"threads": 2, "l2": 1 << 20}, "engine 1")
OTHER = Device.of("cpu", "another machine", {"threads": 8, "l2": 1 << 21}, "engine 1")
GEMM = Problem("gemm", 100, 256, 1024)


class Tiles(Template):
    """16 builds, 8 ways to call each; a tile of 256 x 256 does not fit."""

    name, version, kind, layout = "tiles", 1, "cpu", "rows"

    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        for bm in (32, 64, 128, 256):
            for bn in (32, 64, 128, 256):
                for swizzle in (1, 2, 4, 8):
                    for split in (1, 2):
                        yield Config.of(self.name, {"bm": bm, "bn": bn}, swizzle=swizzle, split=split)

    def why_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        if config["bm"] == config["bn"] == 256:
            return "a tile of 256 x 256 needs 512 KB, the device has 256 KB"
        return None

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        return float(-int(config["bm"]))


def space(portfolio: tuple[Config, ...] = ()) -> Space:
    return space_of(GEMM, DEVICE, [Tiles()], portfolio)


def surface(of: Space, seed: int = 0) -> dict[Config, float]:
    """Builds differ up to 6 times, the ways to call one by some percent: as on real machines."""
    rng = np.random.default_rng(seed)
    build = {c: float(rng.uniform(1, 6)) for c in dict.fromkeys(config.build for config in of.configs)}
    return {config: 1e-4 * build[config.build] * float(rng.uniform(1.0, 1.15)) for config in of.configs}


def recorded(seconds: dict[Config, float], noise: float = 0.0, seed: int = 0) -> tuple[RecordedRunner, FakeClock]:
    clock = FakeClock()
    return RecordedRunner(seconds, noise=noise, seed=seed, clock=clock, build_seconds=0.01), clock
