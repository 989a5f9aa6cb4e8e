"""Families that tile the output: blocks of BM x BN that walk over K in steps of BK, several steps in flight."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import ClassVar

from ...config import Config
from ...device import Device
from ...problem import Problem
from .base import CudaTemplate, Launch, chunks_of_problem, number, planes_of_problem, residency

SWIZZLES = (1, 2, 4, 8)
SPLITS = (1, 2, 4, 8)
_TERMS = 8  # bytes of shared memory that the epilogue keeps for a row


class TiledTemplate(CudaTemplate):
    """Space, refusals and cost in terms of a tile (`bm`, `bn`, `bk`, `wm`, `wn`, `stages`)."""

    max_accumulators: ClassVar[int] = 128
    most_threads: ClassVar[int] = 1024
    rate: ClassVar[float] = 1.0  # relative multiply-accumulates a cycle and multiprocessor

    def tiles(self, device: Device) -> Iterable[dict[str, int | str]]:
        """Compile-time parameters, the default first."""
        raise NotImplementedError

    def threads(self, config: Config) -> int:
        """Of a block."""
        p = config.parameters
        return 32 * (number(p, "bm") // number(p, "wm")) * (number(p, "bn") // number(p, "wn"))

    def accumulators(self, config: Config) -> int:
        """Registers of a thread that hold sums."""
        p = config.parameters
        return number(p, "bm") * number(p, "bn") // self.threads(config)

    def stage_bytes(self, config: Config, problem: Problem) -> int:
        """Shared memory of one step of K."""
        p = config.parameters
        return (number(p, "bm") + number(p, "bn")) * number(p, "bk") // 8

    def shared_bytes(self, config: Config, problem: Problem) -> int:
        """Shared memory of a block."""
        p = config.parameters
        return number(p, "stages") * self.stage_bytes(config, problem) + _TERMS * number(p, "bm")

    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        for compiled in self.tiles(device):
            yield from self.launches_of(compiled, problem, device)

    def launches_of(self, compiled: dict[str, int | str], problem: Problem, device: Device) -> Iterable[Config]:
        """A build with all its run-time parameters; one that cannot be built once, for its reason."""
        first = Config.of(self.name, compiled, swizzle=1, split=1)
        yield first
        if self.why_never(first, problem, device) is None:
            for split in SPLITS:
                for swizzle in SWIZZLES:
                    if (swizzle, split) != (1, 1):
                        yield Config.of(self.name, compiled, swizzle=swizzle, split=split)

    def why_never(self, config: Config, problem: Problem, device: Device) -> str | None:
        """The reason why a build cannot run, whatever the grid."""
        return self.why_not_at_all(problem, device) or self.why_tile_invalid(config, problem, device)

    def launch_of(self, config: Config, problem: Problem) -> Launch:
        p = config.parameters
        columns, rows = ceil(problem.n / number(p, "bn")), ceil(problem.m / number(p, "bm"))
        return Launch((columns, rows, number(p, "split")), number(p, "swizzle"))

    def why_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        return self.why_never(config, problem, device) or self.why_launch_invalid(config, problem, device)

    def why_tile_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        """The reason for which a tile cannot be built or would leave the device idle."""
        p = config.parameters
        bm, bn, _bk, wm, wn = (number(p, name) for name in ("bm", "bn", "bk", "wm", "wn"))
        if bm % wm or bn % wn:
            return f"a block of {bm} x {bn} is no whole number of warp tiles of {wm} x {wn}"
        threads, sums = self.threads(config), self.accumulators(config)
        if threads > self.most_threads:
            return f"{threads} threads; {self.most_threads} are the most here"
        if sums > self.max_accumulators:
            return f"{sums} accumulators a thread; more than {self.max_accumulators} spill"
        if threads * sums > device.number("registers_sm") // 2:
            return (
                f"{threads * sums} accumulators a block; half of the {device['registers_sm']} registers may hold them"
            )
        if problem.out == "bits" and wn % 32:
            return f"warp tiles {wn} wide do not fill the 32-bit words of packed outputs"
        shared = self.shared_bytes(config, problem)
        if shared > device.number("smem"):
            return f"{shared} bytes of shared memory, a block on {device.name} has {device.number('smem')}"
        return None

    def why_launch_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        """The reason for which a grid makes no sense."""
        launch = self.launch_of(config, problem)
        columns, rows, split = launch.grid
        if rows > 65535:
            return f"{rows} rows of blocks, a grid has at most 65535"
        steps = self.steps(config, problem)
        if split > 1 and steps < 2 * split:
            return f"K has {steps} steps, too few to split {split} times"
        if launch.swizzle > 1 and launch.swizzle >= 2 * columns:
            return f"a swizzle of {launch.swizzle} columns, the grid has {columns}"
        waves = columns * rows * split / device.number("sms")
        if split > 1 and waves > 8:
            return f"{waves:.1f} waves of blocks without splitting K further"
        if waves < 0.25 and self.could_split_more(config, steps) and max(rows, columns) > 1:
            return f"{waves:.2f} waves of blocks: split K, or take a smaller tile"
        return None

    def steps(self, config: Config, problem: Problem) -> int:
        """Tiles of K."""
        return ceil(chunks_of_problem(problem) * 128 / number(config.parameters, "bk"))

    def passes(self, problem: Problem) -> int:
        """How often a block runs over K."""
        return planes_of_problem(problem)

    def could_split_more(self, config: Config, steps: int) -> bool:
        """Whether a further split of K exists."""
        split = number(config.parameters, "split")
        return split < SPLITS[-1] and steps >= 4 * split

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        """Cycles: the longer of arithmetic and traffic of a wave, times waves, with a start-up cost."""
        p, launch = config.parameters, self.launch_of(config, problem)
        bm, bn, bk = number(p, "bm"), number(p, "bn"), number(p, "bk")
        steps = self.passes(problem) * ceil(self.steps(config, problem) / launch.split)
        threads = self.threads(config)
        resident = max(
            1, residency(threads, self.accumulators(config) + 64, self.shared_bytes(config, problem), device)
        )
        blocks = launch.grid[0] * launch.grid[1] * launch.split
        waves = ceil(blocks / (device.number("sms") * resident))
        mac = bm * bn * bk / (8192.0 * self.rate)  # a multiprocessor's cycles
        fill = self.stage_bytes(config, problem) / 48.0  # bytes a cycle from L2
        few_warps = max(1.0, 8.0 / (threads / 32 * resident))
        inner = steps * max(mac * few_warps, fill) * resident
        latency = 600.0 + 400.0 / number(p, "stages") * steps / resident
        epilogue = bm * bn / 128.0 * resident * (2.0 if launch.split > 1 else 1.0)
        return waves * (inner + latency + epilogue) + (2000.0 if launch.split > 1 else 0.0)
