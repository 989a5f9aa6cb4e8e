"""The binary kernels against each other, against the classic popcount, and dense layers against the memory's bandwidth.

    make bench-native                       # builds build/native/native/bitwright_bench
    python benchmarks/kernels.py [--quick]  # writes results/kernels.csv

Runs bitwright_bench: every measurement is repeated, the repetitions of all of them in random order, the clock's among
them; medians count.

- section "layers": 3x3 layers of ResNet-18 and two matrix products on every instruction set of this CPU, one thread,
  counts as output. `classic_avx2` is the popcount that bconv_avx2 replaces: vpshufb over both nibbles of the
  differing bits, byte sums, as fast as we could write it, in the same tiles.
- section "gemm": matrix products of packed rows with int32 output, B laid out before, one thread. `ratio`: of the
  popcount roofline, timed around each of them.
- section "dense": layers of 4096 inputs and one sample, 1 and 2 threads, beside a loop that only reads as many bytes
  (by one and by two threads). 512 KB lie in L2, 8 MB in L3, 128 MB in memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

from bitwright.bench.results import write_results

ROOT = Path(__file__).parents[1]
BINARY = ROOT / "build/native/native/bitwright_bench"
KERNELS = "(bconv_[a-z0-9]*|classic_avx2)"
SHAPES = "(3x3_.*(64_64|64_128_s2|128_128|128_256_s2|256_256|256_512_s2|512_512)|1x1_.*4096_192)"
LAYERS = f"^{KERNELS}/{SHAPES}/counts"
GEMM = "^gemm/"
DENSE = "^(dense_read|dense/bconv_(avx2|avx512|avx512vpopcnt|neon|neondot))/"
CLASSIC, OURS = "classic_avx2", "bconv_avx2"

Row = dict[str, object]


def medians(
    binary: Path, pattern: str, counter: str, repetitions: int, seconds: float
) -> tuple[dict[str, float], float]:
    """The counter's median of each benchmark whose name matches, and the clock in GHz."""
    command = [
        str(binary),
        f"--benchmark_filter={pattern}|^clock",
        f"--benchmark_repetitions={repetitions}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_min_time={seconds}",
        "--benchmark_format=json",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} failed with {result.returncode}: {result.stderr.strip()}")
    values: dict[str, list[float]] = {}
    for run in json.loads(result.stdout)["benchmarks"]:
        if run["run_type"] == "iteration":
            values.setdefault(run["run_name"], []).append(run["GHz" if run["run_name"] == "clock" else counter])
    found = {name: statistics.median(v) for name, v in values.items()}
    return found, found.pop("clock")


def layers(binary: Path, repetitions: int) -> list[Row]:
    rates, ghz = medians(binary, LAYERS, "GMAC/s", repetitions, 0.005)
    rows: list[Row] = []
    for name, rate in sorted(rates.items(), key=lambda item: item[0].split("/")[1::-1]):
        kernel, layer, _ = name.split("/")
        classic = rates.get(f"{CLASSIC}/{layer}/counts")
        rows.append(
            {
                "section": "layers",
                "task": layer,
                "kernel": kernel,
                "threads": 1,
                "rate": round(rate, 1),
                "unit": "GMAC/s",
                "per_cycle": round(rate / ghz, 1),
                "reference": CLASSIC if classic else "",
                "ratio": round(rate / classic, 3) if classic else "",
                "ghz": round(ghz, 3),
            }
        )
    return rows


def gemm(binary: Path, repetitions: int) -> list[Row]:
    rates, ghz = medians(binary, GEMM, "GMAC/s", repetitions, 0.005)
    shares, _ = medians(binary, GEMM, "share", repetitions, 0.005)
    return [
        {
            "section": "gemm",
            "task": name.split("/")[2],
            "kernel": name.split("/")[1],
            "threads": 1,
            "rate": round(rate, 1),
            "unit": "GMAC/s",
            "per_cycle": round(rate / ghz, 1),
            "reference": "roofline",
            "ratio": round(shares[name], 3),
            "ghz": round(ghz, 3),
        }
        for name, rate in sorted(rates.items())
    ]


def dense(binary: Path, repetitions: int) -> list[Row]:
    rates, ghz = medians(binary, DENSE, "GB/s", repetitions, 0.02)
    rows: list[Row] = []
    for name, rate in sorted(rates.items()):
        parts = name.split("/")
        size, threads = parts[-3], int(parts[-1].removeprefix("threads:"))
        read = rates[f"dense_read/{size}/real_time/threads:{threads}"]
        rows.append(
            {
                "section": "dense",
                "task": size,
                "kernel": parts[0] if len(parts) == 4 else parts[1],
                "threads": threads,
                "rate": round(rate, 1),
                "unit": "GB/s",
                "per_cycle": round(rate / ghz, 1),
                "reference": "dense_read",
                "ratio": round(rate / read, 3),
                "ghz": round(ghz, 3),
            }
        )
    return rows


def print_rows(rows: list[Row]) -> None:
    for r in rows:
        against = f"{r['ratio']:>7} x {r['reference']}" if r["reference"] else ""
        threads = f"{r['threads']} thread{'s' if r['threads'] != 1 else ''}"
        what = f"{r['kernel']!s:22} {r['task']!s:22} {threads}"
        print(f"  {what:56} {r['rate']:>8} {r['unit']} {r['per_cycle']:>7} a cycle {against}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--binary", type=Path, default=BINARY)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="few repetitions, nothing written")
    arguments = parser.parse_args()
    if not arguments.binary.exists():
        parser.error(f"{arguments.binary} is missing: `make bench-native` builds it")
    repetitions = 3 if arguments.quick else arguments.repetitions
    rows = layers(arguments.binary, repetitions)
    print_rows(rows)
    ratios = [
        float(str(r["ratio"])) for r in rows if r["kernel"] == OURS and r["ratio"] and str(r["task"]).startswith("3x3")
    ]
    if ratios:
        print(f"{OURS} against {CLASSIC}, 3x3 layers: {statistics.geometric_mean(ratios):.2f}x (geometric mean)")
    products = gemm(arguments.binary, repetitions)
    print_rows(products)
    memory = dense(arguments.binary, repetitions)
    print_rows(memory)
    if not arguments.quick:
        found = [*rows, *products, *memory]
        print(f"wrote {write_results(ROOT / 'results/kernels.csv', 'python benchmarks/kernels.py', found)}")


if __name__ == "__main__":
    main()
