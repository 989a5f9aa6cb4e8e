"""`cutlass_b1`: CUTLASS's 1-bit products, made from its headers over a space of tiles; the baseline to beat, too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from math import ceil

from ...config import Config
from ...device import Device
from ...formats import format_of
from ...problem import Problem
from .base import Build, Launch, number
from .mma_b1 import INSTRUCTIONS, MmaB1
from .tiled import SPLITS, SWIZZLES, TiledTemplate

Tile = tuple[int, int, int, int, int, int]  # bm, bn, bk, wm, wn, stages

# What the library of CUTLASS 4.2 instantiates (its generator.py: SM75_TensorOp_88128, SM80_TensorOp_168256).
_LIBRARY_BLOCKS = {
    (256, 128): (64, 64),
    (128, 256): (64, 64),
    (256, 64): (64, 64),
    (64, 256): (64, 64),
    (128, 128): (64, 64),
    (128, 64): (64, 32),
    (64, 128): (32, 64),
    (64, 64): (32, 32),
}
_LIBRARY_STAGES = {512: (3, 3, 4, 4, 5, 6, 6, 10), 1024: (3, 3, 4, 4, 4, 3, 3, 5)}
# Beside the library's: more warps or fewer a block, and blocks for few rows or columns.
_MORE_BLOCKS = (
    (128, 128, 64, 32),
    (128, 128, 32, 64),
    (128, 64, 32, 32),
    (64, 128, 32, 32),
    (64, 64, 64, 32),
    (32, 128, 32, 32),
    (32, 64, 32, 32),
    (128, 32, 32, 32),
    (64, 32, 32, 32),
)
_STAGES = (2, 3, 4)


def library_tiles(cc: int) -> list[Tile]:
    """The tiles of CUTLASS's own library for a compute capability, in its order."""
    if cc < 80:
        return [(bm, bn, 512, wm, wn, 2) for (bm, bn), (wm, wn) in _LIBRARY_BLOCKS.items()]
    return [
        (bm, bn, bk, wm, wn, stages)
        for bk, depths in _LIBRARY_STAGES.items()
        for ((bm, bn), (wm, wn)), stages in zip(_LIBRARY_BLOCKS.items(), depths, strict=True)
    ]


def default_tile(cc: int) -> Tile:
    """What `cutlass::gemm::device::Gemm` takes for 1-bit operands if it is told nothing."""
    return (128, 256, 512, 64, 64, 2 if cc < 80 else 3)


class CutlassB1(TiledTemplate):
    """CUTLASS 2.x `kernel::Gemm` of bits (kernels/cutlass_b1.cuh), with its own raster and split of K.

    Its epilogue is linear in the sums, so s32 outputs that need no term of the rows leave it finished; all others take
    a second pass over the sums (kernels/finish.cuh), which belongs to the candidate's time.
    """

    name, version = "cutlass_b1", 1
    convolves = False
    rate = 2.0

    def tiles(self, device: Device) -> Iterable[dict[str, int | str]]:
        cc = device.number("cc")
        order = INSTRUCTIONS[::-1] if cc < 80 else (*INSTRUCTIONS[1::-1], INSTRUCTIONS[2])
        native = [i for i in order if self.why_no_instruction(i, device) is None]
        library = [default_tile(cc), *library_tiles(cc)]
        blocks = [(*block, *warp) for block, warp in _LIBRARY_BLOCKS.items()] + list(_MORE_BLOCKS)
        depths, steps = ((2,), (256, 512)) if cc < 80 else (_STAGES, (512, 1024))
        more = [(bm, bn, bk, wm, wn, s) for (bm, bn, wm, wn), bk, s in product(blocks, steps, depths)]
        for instruction in order:
            # where two are native they are equally fast, and `xor` needs fewer corrections: it alone has all tiles
            tiles = (
                [*library, *more] if native[:1] == [instruction] else library if instruction in native else library[:1]
            )
            for tile in dict.fromkeys(tiles):
                yield {**_named(tile), "instruction": instruction}

    def launches_of(self, compiled: dict[str, int | str], problem: Problem, device: Device) -> Iterable[Config]:
        """Kernels that may split K are builds of their own; they are listed where blocks are few."""
        whole = {**compiled, "serial": 0}
        first = Config.of(self.name, whole, swizzle=1, split=1)
        yield first
        if self.why_never(first, problem, device) is not None:
            return
        for swizzle in SWIZZLES[1:]:
            yield Config.of(self.name, whole, swizzle=swizzle, split=1)
        columns, rows = self.blocks(first, problem)
        if columns * rows < 2 * device.number("sms"):
            for split, swizzle in product(SPLITS[1:], SWIZZLES):
                yield Config.of(self.name, {**compiled, "serial": 1}, swizzle=swizzle, split=split)

    def baseline(self, problem: Problem, device: Device) -> Config:
        """CUTLASS as it comes: its default tile, no swizzle, K in one piece; `and` where `xor` is not native."""
        first = next(t for t in self.tiles(device) if self.why_no_instruction(str(t["instruction"]), device) is None)
        return Config.of(self.name, {**first, "serial": 0}, swizzle=1, split=1)

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        a = format_of(problem.a)
        if a.kind == "float":
            return f"{self.name} has no {problem.a} activations"
        if a.planes > 1:
            return f"{self.name} multiplies one plane of bits; {problem.a} has {a.planes}"
        if device["b1"] == "none":
            return f"CUTLASS has no 1-bit products for sm_{device['cc']}: they are emulated there"
        return super().why_not_at_all(problem, device)

    def why_no_instruction(self, instruction: str, device: Device) -> str | None:
        """The reason why an instruction is not used on a device: that of `mma_b1`."""
        return MmaB1().why_no_instruction(instruction, device)

    def why_never(self, config: Config, problem: Problem, device: Device) -> str | None:
        reason = self.why_not_at_all(problem, device) or self.why_no_instruction(str(config["instruction"]), device)
        if reason:
            return reason
        p = config.parameters
        depth = 128 if device.number("cc") < 80 else 256
        if number(p, "bk") < 2 * depth:
            return f"{p['bk']} bits a step; CUTLASS needs two instructions of {depth} bits or more"
        if device.number("cc") < 80 and number(p, "stages") != 2:
            return f"{p['stages']} stages; CUTLASS has 2 on sm_{device['cc']}"
        return self.why_tile_invalid(config, problem, device)

    def why_tile_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        # its sums are written as they are: the width of packed outputs does not matter here
        return super().why_tile_invalid(config, replace(problem, out="s32"), device)

    def why_launch_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        p = config.parameters
        split, swizzle, serial = (number(p, name) for name in ("split", "swizzle", "serial"))
        if (split > 1) != bool(serial):
            return f"serial is {serial}, with K in {split} parts"
        columns, rows = self.blocks(config, problem)
        if 1 << log_tile(swizzle, columns) != swizzle:
            return f"a swizzle of {swizzle} columns; CUTLASS takes a smaller one for {columns} columns of blocks"
        launch = self.launch_of(config, problem)
        if launch.grid[1] > 65535:
            return f"{launch.grid[1]} columns of blocks, a grid has at most 65535"
        steps = self.steps(config, problem)
        if split > 1 and steps < 2 * split:
            return f"K has {steps} steps, too few to split {split} times"
        waves = columns * rows * split / device.number("sms")
        if split > 1 and waves > 8:
            return f"{waves:.1f} waves of blocks without splitting K further"
        return None

    def blocks(self, config: Config, problem: Problem) -> tuple[int, int]:
        """Columns and rows of blocks."""
        return ceil(problem.n / number(config.parameters, "bn")), ceil(problem.m / number(config.parameters, "bm"))

    def launch_of(self, config: Config, problem: Problem) -> Launch:
        """CUTLASS's grid: rows of blocks in x, each with the columns that are walked together; those in y."""
        p = config.parameters
        columns, rows = self.blocks(config, problem)
        tile = 1 << log_tile(number(p, "swizzle"), columns)
        return Launch((rows * tile, ceil(columns / tile), number(p, "split")), tile)

    def shared_bytes(self, config: Config, problem: Problem) -> int:
        return number(config.parameters, "stages") * self.stage_bytes(config, problem)

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        # a little more than `mma_b1`, so that without tuning our own kernels run
        second_pass = 2000.0 + 8.0 * problem.m * problem.n / (32.0 * device.number("sms"))
        return 1.1 * super().cost(config, problem, device) + second_pass

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        p = config.parameters
        defines = {name: number(p, name) for name in ("bm", "bn", "bk", "wm", "wn", "stages", "serial")}
        instruction, shared = str(config["instruction"]), self.shared_bytes(config, problem)
        defines |= {"instruction": INSTRUCTIONS.index(instruction), "threads": self.threads(config), "shared": shared}
        defines["align"] = next(width for width in (4, 2, 1) if problem.n % width == 0)
        logic = instruction.split(".")[1]
        return Build("cutlass_b1", tuple(sorted(defines.items())), defines["threads"], shared, logic, library="cutlass")


def _named(tile: Tile) -> dict[str, int | str]:
    return dict(zip(("bm", "bn", "bk", "wm", "wn", "stages"), tile, strict=True))


def params_build(main: Build) -> Build:
    """The kernel that fills in the parameters of another; both have one source."""
    return replace(main, kernel="cutlass_b1_params", file=main.kernel, threads=1, shared_bytes=0)


def log_tile(swizzle: int, columns: int) -> int:
    """GemmIdentityThreadblockSwizzle<swizzle>::get_log_tile: logarithm of the columns that are walked together."""
    if swizzle >= 8 and columns >= 6:
        return 3
    if swizzle >= 4 and columns >= 3:
        return 2
    return int(swizzle >= 2 and columns >= 2)
