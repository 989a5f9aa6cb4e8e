"""Instructions of the AArch64 kernels per multiply-accumulate, counted under qemu-user.

    make arm-test                                # builds build/arm
    python benchmarks/arm_instructions.py        # writes results/arm_instructions.csv

`bitwright_once` runs one kernel on one tile; qemu logs every instruction that it executes. What a run of three
repetitions has more than a run of one is two repetitions: start-up and packing cancel. Disassembly tells SIMD
arithmetic (ALU pipes), loads and stores, and scalar instructions apart. A broadcast load (ld1r) takes a load pipe and
on most cores a SIMD pipe too: it is counted apart.

`fconv_minimal_neon` counts the multiply-accumulates of the plain sum, and its inputs apart.

No clock is involved: the figures are exact and the same on every machine. What they mean for a core: a Cortex-A72 or
A76 starts 2 SIMD operations a cycle, a Neoverse V1, Cortex-X or Apple core 4. The bound of eor + cnt + add is 128 MAC
in 3 SIMD operations, 42.7 each.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bitwright.bench.results import write_results

ROOT = Path(__file__).parents[1]
BINARY = "build/arm/native/bitwright_once"
QEMU = ["qemu-aarch64", "-cpu", "max"]

ISAS = ("neon", "portable")  # where what the compiler makes of the portable loops is worth comparing

# kernel, taps, channels, what
CONVOLUTIONS = [
    *(("bconv_neon", 9, c, f"3x3, {c} channels") for c in (32, 64, 128, 256, 512)),
    ("bconv_neon", 1, 256, "1x1, 256 channels"),
    *(("bconv_neondot", 9, c, f"3x3, {c} channels") for c in (32, 64, 128, 256, 512)),
    ("bconv_neondot", 1, 256, "1x1, 256 channels"),
    ("fconv_neon", 49, 3, "7x7, 3 channels"),
    ("fconv_neon", 9, 64, "3x3, 64 channels"),
    ("fconv_neon", 1, 256, "1x1, 256 channels"),
    ("fconv_minimal_neon", 16, 12, "sums of 4x4, 12 channels"),
    *(("fconv_minimal_neon", 9, c, f"sums of 3x3, {c} channels") for c in (3, 16, 64)),
    ("qconv_neon", 1, 147, "7x7, 3 channels, gathered"),
    ("qconv_neon", 9, 64, "3x3, 64 channels"),
    ("qconv_neon", 1, 256, "1x1, 256 channels"),
    ("qconv_neondot", 1, 147, "7x7, 3 channels, gathered"),
    ("qconv_neondot", 9, 64, "3x3, 64 channels"),
    ("qconv_neondot", 1, 256, "1x1, 256 channels"),
    ("qconv_neon", 9, 0, "3x3 depthwise"),
    *(("bdepthwise_neon", 9, c, f"3x3 into bits, {c} channels") for c in (32, 64, 128, 256)),
    ("bdepthwise_neon", 16 + 9, 256, "3x3 into counts, 256 channels"),
]
ELEMENTWISE = [
    ("epilogue_neon", 0, 256, "threshold"),
    ("epilogue_neon", 1, 256, "affine, add, RPReLU, store, bits"),
    ("epilogue_neon", 2, 256, "the same step by step"),
    ("epilogue_neon", 3, 256, "int16: fixed, add, PReLU, store, bits"),
    ("epilogue_neon", 4, 256, "int8: affine, store"),
    ("pack_neon", 0, 256, "float32 by channel"),
    ("fconv_minimal_neon", 1, 64, "inputs of 3x3, 64 channels"),
    *((f"pool_{isa}", 300, 256, "maximum 3x3, float32") for isa in ISAS),
    *((f"pool_{isa}", 701, 256, "mean 7x7, float32") for isa in ISAS),
    *((f"pool_{isa}", 302, 256, "maximum 3x3, int16") for isa in ISAS),
    *((f"pool_{isa}", 704, 256, "mean 7x7, int16") for isa in ISAS),
    *((f"pool_{isa}", 305, 256, "maximum 3x3, uint8") for isa in ISAS),
    *((f"pool_{isa}", 706, 256, "mean 7x7, uint8") for isa in ISAS),
    *((f"bmatmul_{isa}", 0, 64, "end of a tile, 16 bits into 16") for isa in ISAS),
    *((f"bmatmul_{isa}", 1, 64, "end of a tile, 16 bits into 32") for isa in ISAS),
    *((f"bmatmul_{isa}", 2, 64, "end of a tile, halved, 16 bits into 16") for isa in ISAS),
    *((f"bmatmul_{isa}", 3, 64, "end of a tile, halved, 16 bits into 32") for isa in ISAS),
    *((f"bmatmul_{isa}", 4, 64, "plane of a tile, 16 bits") for isa in ISAS),
    *((f"bmatmul_{isa}", 5, 64, "transpose, 256 rows x 32 bits") for isa in ISAS),
]

_VECTOR = re.compile(r"\b[vqd]\d+\b|\bv\d+\.")


def kind(mnemonic: str, operands: str) -> str:
    if mnemonic.startswith(("ld", "st", "prfm")):
        return "broadcast" if re.match(r"ld\dr$", mnemonic) else "memory"
    return "simd" if _VECTOR.search(operands) else "scalar"


def disassembly() -> dict[int, str]:
    """What every instruction of the program is, by its address."""
    text = subprocess.run(
        ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", BINARY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    line = re.compile(r"^\s*([0-9a-f]+):\t(\S+)(?:\t(.*))?$", re.M)
    return {int(m[1], 16): kind(m[2], m[3] or "") for m in line.finditer(text)}


def execute(kinds: dict[int, str], kernel: str, taps: int, channels: int, repeats: int) -> tuple[int, Counter[str]]:
    """The work of one repetition, and the instructions of the whole run by kind."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [*QEMU, "-singlestep", "-d", "nochain,exec", "-D", str(log), BINARY, kernel]
        command += [str(taps), str(channels), str(repeats)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        trace = re.compile(r"\[[0-9a-f]+/([0-9a-f]+)/")
        with log.open() as lines:
            found = (trace.search(line) for line in lines)
            counts = Counter(kinds.get(int(m[1], 16), "scalar") for m in found if m)
    return int(done.stdout), counts


def measure(kinds: dict[int, str], kernel: str, taps: int, channels: int, what: str, unit: str) -> dict[str, object]:
    work, once = execute(kinds, kernel, taps, channels, 1)
    _, thrice = execute(kinds, kernel, taps, channels, 3)
    counts = {name: (thrice[name] - once[name]) / 2 for name in ("simd", "broadcast", "memory", "scalar")}
    total = sum(counts.values())
    return {
        "kernel": kernel,
        "what": what,
        "unit": unit,
        "work": work,
        "instructions": total,
        **counts,
        "per_instruction": round(work / total, 2),
        "per_simd": round(work / counts["simd"], 2),
        "per_simd_and_broadcast": round(work / (counts["simd"] + counts["broadcast"]), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="results/arm_instructions.csv")
    out = parser.parse_args().out
    if not (ROOT / BINARY).exists():
        sys.exit(f"{BINARY} is missing; run 'make arm-test'")
    kinds = disassembly()
    rows = [measure(kinds, *case, unit="MAC") for case in CONVOLUTIONS]
    rows += [measure(kinds, *case, unit="element") for case in ELEMENTWISE]
    print(f"{'kernel':<20}{'what':<48}{'unit':<9}{'/instruction':>13}{'/SIMD op':>10}{'/SIMD+ld1r':>12}")
    for r in rows:
        print(
            f"{r['kernel']:<20}{r['what']:<48}{r['unit']:<9}{r['per_instruction']:>13}{r['per_simd']:>10}"
            f"{r['per_simd_and_broadcast']:>12}"
        )
    write_results(ROOT / out, "python benchmarks/arm_instructions.py", rows)


if __name__ == "__main__":
    main()
