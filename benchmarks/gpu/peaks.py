"""What the matrix instructions reach at best: mma b1 `and` and `xor`, mma s8, wgmma b1 `and`, wgmma s8.

Writes results/gpu_peaks.json: operations (2 M N K) a second of each, and their ratios. Each is checked first: with all
bits 1 the sums are known. Written without a GPU; never run on one.
"""

from __future__ import annotations

import ctypes
import statistics
import sys
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from steps import Items, device_of, options_of

from bitwright.tune import Device
from bitwright.tune.cuda.families import Build
from bitwright.tune.cuda.gpu import Gpu, Machine

HERE = Path(__file__).parent
_BLOCKS_PER_SM, _REPEATS, _SAMPLES = 2, 4096, 9


@dataclass(frozen=True)
class Instruction:
    """A matrix instruction: `m` x `n` x `k` by a warp (or a warpgroup: 128 threads), `count` of them in a repeat."""

    name: str
    number: int
    m: int
    n: int
    k: int
    threads: int
    count: int
    least_cc: int
    wgmma: bool = False


INSTRUCTIONS = (
    Instruction("mma b1 and m16n8k256", 0, 16, 8, 256, 32, 8, 80),
    Instruction("mma b1 xor m16n8k256", 1, 16, 8, 256, 32, 8, 80),
    Instruction("mma s8 m16n8k32", 2, 16, 8, 32, 32, 8, 80),
    Instruction("wgmma b1 and m64n256k256", 3, 64, 256, 256, 128, 4, 90, True),
    Instruction("wgmma s8 m64n256k32", 4, 64, 256, 32, 128, 4, 90, True),
)


class Peak(ctypes.Structure):
    """Arguments, in the order of peaks.cuh."""

    _fields_ = [("out", ctypes.c_void_p), ("repeats", ctypes.c_int32), ("seed", ctypes.c_uint32)]


@dataclass(frozen=True)
class PeakBuild(Build):
    """A kernel of peaks.cuh."""

    @property
    def source(self) -> str:
        return source_of(dict(self.defines)["peak"])


@lru_cache
def source_of(number: int) -> str:
    """The text of one instruction's kernel."""
    body = (HERE / "peaks.cuh").read_text(encoding="utf-8")
    if number < 3:
        return f"#define PEAK {number}\n{body}"
    text = "k256.s32.b1.b1.and.popc" if number == 3 else "k32.s32.s8.s8"
    names = ", ".join(f"%{i}" for i in range(128))
    operands = ", ".join(f'"+r"(acc[{i // 4}][{i % 4}])' for i in range(128))
    wrapper = (
        "__device__ __forceinline__ void peak_wgmma(int (&acc)[32][4], unsigned long long a, unsigned long long b) {\n"
        '  asm volatile("{\\n.reg .pred p;\\nsetp.ne.b32 p, 1, 0;\\n"\n'
        f'    "wgmma.mma_async.sync.aligned.m64n256{text} {{{names}}}, %128, %129, p;\\n}}\\n"\n'
        f'    : {operands} : "l"(a), "l"(b));\n}}\n'
    )
    return f"#define PEAK {number}\n{wrapper}{body}"


def build_of(instruction: Instruction) -> PeakBuild:
    """Its kernel: 256 threads."""
    shared = 2 * 10240 if instruction.wgmma else 0
    return PeakBuild("peak", (("peak", instruction.number),), 256, shared, "exact")


def why_not(instruction: Instruction, device: Device) -> str | None:
    """Why a GPU has no such instruction."""
    if instruction.wgmma and not device.number("wgmma"):
        return "no wgmma: only sm_90a has"
    if device.number("cc") < instruction.least_cc:
        return f"sm_{device['cc']}; sm_{instruction.least_cc} is the first that has it"
    return None


def operations(instruction: Instruction, blocks: int, repeats: int) -> int:
    """Of a launch: 2 M N K of each instruction."""
    groups = blocks * 256 // instruction.threads
    return 2 * instruction.m * instruction.n * instruction.k * instruction.count * repeats * groups


def sum_of_ones(instruction: Instruction, repeats: int) -> int:
    """What each thread's sum is with all bits 1 (of `xor`: one side 0): bytes are -1 then, their products 1."""
    own = instruction.m * instruction.n // instruction.threads  # sums of a thread and instruction
    registers = own * (instruction.count if not instruction.wgmma else 1)
    times = repeats * (1 if not instruction.wgmma else instruction.count)
    return registers * instruction.k * times


def measured(instruction: Instruction, device: Device, gpu: Machine) -> dict[str, Any]:
    """Rate of one instruction."""
    build = build_of(instruction)
    kernel, blocks = gpu.load(build), _BLOCKS_PER_SM * device.number("sms")
    out = gpu.upload(np.zeros(256 * blocks, np.int32))
    gpu.launch(kernel, build, (blocks, 1, 1), Peak(out, 16, 0))
    found, right = gpu.download(out, np.zeros(256 * blocks, np.int32)), sum_of_ones(instruction, 16)
    wrong = int(np.count_nonzero(found != right))
    arguments = Peak(out, _REPEATS, 12345)

    def work() -> None:
        gpu.launch(kernel, build, (blocks, 1, 1), arguments)

    gpu.seconds(work, None)
    seconds = [gpu.seconds(work, None) for _ in range(_SAMPLES)]
    rate = operations(instruction, blocks, _REPEATS) / statistics.median(seconds)
    report = {"tops": round(rate / 1e12, 1), "seconds": seconds, "sums_right": wrong == 0}
    if wrong:
        report["error"] = f"{wrong} of {found.size} sums are wrong: {found[found != right][0]} instead of {right}"
    return report


def ratios(items: dict[str, Any]) -> dict[str, float]:
    """What the rates say."""
    rate = {i.number: items[i.name]["tops"] for i in INSTRUCTIONS if "tops" in items.get(i.name, {})}
    names = {
        "and over xor": (0, 1),
        "wgmma b1 over mma b1": (3, 0),
        "b1 over s8, wgmma": (3, 4),
        "b1 over s8, mma": (0, 2),
    }
    return {name: round(rate[a] / rate[b], 2) for name, (a, b) in names.items() if a in rate and rate.get(b)}


def main() -> int:
    options = options_of(__doc__ or "")
    device = device_of(options)
    able = [i for i in INSTRUCTIONS if why_not(i, device) is None]
    for instruction in INSTRUCTIONS:
        print(f"{instruction.name}: {why_not(instruction, device) or 'is measured'}")
    if options.dry_run:
        return 0
    items = Items(options.results / "gpu_peaks.json", device.environment, options.budget)
    gpu = Gpu(0, str(device["target"]))
    for instruction in able:
        items.run(instruction.name, partial(measured, instruction, device, gpu))
    gpu.release()
    items.data["ratios"] = ratios(items.items)
    return items.finish()


if __name__ == "__main__":
    sys.exit(main())
