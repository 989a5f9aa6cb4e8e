"""`mma_b1`: 1-bit mma.sync of our own, sm_75 to sm_90."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from ...config import Config
from ...device import Device
from ...formats import format_of
from ...problem import Problem
from .base import Build, number, shared_flags
from .tiled import TiledTemplate

INSTRUCTIONS = ("m16n8k256.and", "m16n8k256.xor", "m8n8k128.xor")
_BLOCKS = (32, 64, 128, 256)
_DEFAULT: dict[str, int | str] = {"bm": 128, "bn": 128, "bk": 512, "wm": 64, "wn": 64, "stages": 3}


class MmaB1(TiledTemplate):
    """Tiles of bit planes by the tensor cores' 1-bit instruction (kernels/mma_b1.cuh)."""

    name, version = "mma_b1", 1
    rate = 2.0

    def tiles(self, device: Device) -> Iterable[dict[str, int | str]]:
        old = device.number("cc") < 80
        order = INSTRUCTIONS[::-1] if old else INSTRUCTIONS
        first: dict[str, int | str] = {**_DEFAULT, "wm": 32, "stages": 2} if old else _DEFAULT
        default: dict[str, int | str] = {**first, "instruction": order[0]}
        yield default
        native = [i for i in order if self.why_no_instruction(i, device) is None]
        for instruction in order[1:]:
            if instruction not in native:  # once, for the reason
                yield {**first, "instruction": instruction}
        for instruction, bm, bn, bk, wm, wn, stages in product(
            native, (16, *_BLOCKS), _BLOCKS, (256, 512, 1024), (16, 32, 64), (16, 32, 64, 128), (2, 3, 4, 6)
        ):
            tile: dict[str, int | str] = {"bm": bm, "bn": bn, "bk": bk, "wm": wm, "wn": wn, "stages": stages}
            tile["instruction"] = instruction
            # more than 8 warps, warps with fewer than 8 products of 16 x 8, and 16 rows beside larger blocks never pay
            small = (wm * wn < 1024 or wm == 16) and bm > 16
            if not (small or wm > bm or wn > bn or (bm // wm) * (bn // wn) > 8 or tile == default):
                yield tile

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        if format_of(problem.a).kind == "float":
            return f"{self.name} has no {problem.a} activations"
        if device["b1"] == "none":
            return f"1-bit matrix instructions are emulated on sm_{device['cc']}, slower than int8 ones"
        return super().why_not_at_all(problem, device)

    def why_never(self, config: Config, problem: Problem, device: Device) -> str | None:
        return (
            self.why_not_at_all(problem, device)
            or self.why_no_instruction(str(config["instruction"]), device)
            or self.why_stages(config, device)
            or self.why_tile_invalid(config, problem, device)
        )

    def why_no_instruction(self, instruction: str, device: Device) -> str | None:
        """The reason why an instruction is not used on a device."""
        cc, native = device.number("cc"), str(device["b1"])
        shape, logic = instruction.split(".")
        if cc < 80 and shape != "m8n8k128":
            return f"sm_{cc} has 1-bit products of 8 x 8 x 128 only"
        if cc >= 80 and shape == "m8n8k128":
            return f"sm_{cc} has 1-bit products of 16 x 8 x 256, four times as large"
        if logic not in native.split("+"):
            return f"`{logic}` is not native on sm_{cc}: it takes two instructions, and CUTLASS's gives wrong sums"
        return None

    def why_stages(self, config: Config, device: Device) -> str | None:
        """sm_75 has no asynchronous copies: more than two stages only take memory."""
        stages = number(config.parameters, "stages")
        if device.number("cc") < 80 and stages != 2:
            return f"{stages} stages; sm_{device['cc']} has no asynchronous copies and uses 2"
        return None

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        p = config.parameters
        defines = {name: number(p, name) for name in ("bm", "bn", "bk", "wm", "wn", "stages")}
        instruction = str(config["instruction"])
        defines |= {"instruction": INSTRUCTIONS.index(instruction), "threads": self.threads(config)}
        defines |= shared_flags(problem)
        shared = self.shared_bytes(config, problem)
        return Build("mma_b1", tuple(sorted(defines.items())), defines["threads"], shared, instruction.split(".")[1])
