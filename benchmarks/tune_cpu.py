"""What tuning is worth on this CPU, and how well a few measurements find the best candidate.

    python benchmarks/tune_cpu.py [--threads N] [--quick]

- results/tune_products.csv: matrix products of the 1-bit layers of ResNet-18, BNext-T, VGG-small and BERT-base. Every
  candidate is checked against the integer product and measured (exhaustive search); the default, the best, and the
  dense float32 product of numpy with as many threads. `speedup` is from new measurements of default and best, in turn.
- results/tune_layers.csv: all binary layers of ResNet-18, BNext-T, VGG-small and BERT-base in the engine, by the rules
  and tuned (kernel, register tile, size of work items, threads), on 1 and 2 threads. Times are from new measurements,
  in turn, after the choice: the median of the rounds' ratios and their quartiles. Where nothing was changed both sides
  are the same code, so that these rows show the noise.
- results/tune_regret.csv and docs/images/tune-regret.png: time lost against exhaustive search by measuring only the
  first few candidates of a portfolio, of the learned model, and of the nearest shape's order, the shape left out.
- results/tune_products.jsonl: every timing, to replay.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.plots import save  # noqa: E402

from bitwright.bench.results import write_results  # noqa: E402
from bitwright.files import write_atomically  # noqa: E402
from bitwright.tune import (  # noqa: E402
    Outcome,
    Problem,
    Record,
    Store,
    search,
    space_of,
    strategy_of,
    this_cpu,
    tune_session,
)
from bitwright.tune.cpu import TEMPLATES, CpuRunner, versions  # noqa: E402
from bitwright.tune.regret import Regret, compare  # noqa: E402

# rows (pixels or tokens), outputs, length of a dot product
PRODUCTS = {
    "resnet18 56x56": (3136, 64, 576),
    "resnet18 28x28": (784, 128, 1152),
    "resnet18 14x14": (196, 256, 2304),
    "resnet18 7x7": (49, 512, 4608),
    "bnext_t 1x1 14x14": (196, 512, 512),
    "bnext_t 3x3 7x7": (49, 1024, 9216),
    "vgg_small conv": (256, 256, 2304),
    "vgg_small fc": (1, 1024, 8192),
    "bert attention": (128, 768, 768),
    "bert up": (128, 3072, 768),
    "bert down": (128, 768, 3072),
    "one output": (196, 1, 512),
}
WAYS = {"portfolio": "portfolio of the other shapes", "predict": "learned model", "nearest": "nearest shape's order"}


def products(threads: int, quick: bool) -> tuple[list[dict[str, object]], list[Record]]:
    """Exhaustive searches."""
    device, rows, records = this_cpu(threads), [], []
    for name, (m, n, k) in PRODUCTS.items():
        problem = Problem("gemm", m, n, k)
        found = space_of(problem, device, TEMPLATES)
        runner = CpuRunner(problem)
        outcome: Outcome = search(found, strategy_of("halving" if quick else "exhaustive"), runner)
        again = runner.measure([found.configs[0], outcome.best], 5 if quick else 51)
        before, after = (np.array(again[config]) for config in (found.configs[0], outcome.best))
        records.append(
            Record(
                device.environment, problem, tuple(versions().items()), outcome.history, tuple(outcome.failures.items())
            )
        )
        dense = next(c for c in found.configs if c.template == "numpy_f32")
        time = outcome.history.time
        rows.append(
            {
                "layer": name,
                "m": m,
                "n": n,
                "k": k,
                "candidates": len(found.configs),
                "default": str(found.configs[0]),
                "default_us": round(1e6 * float(np.median(before)), 2),
                "best": str(outcome.best),
                "best_us": round(1e6 * float(np.median(after)), 2),
                "speedup": round(float(np.median(before / after)), 3),
                "over_dense": round(time(dense) / time(outcome.best), 2),
            }
        )
        print(f"{name:18} {len(found.configs):3} candidates, tuned {rows[-1]['speedup']}x, {outcome.best}", flush=True)
    return rows, records


def bnext_t() -> Any:
    """The binary convolutions of BNext-T, one after the other: 3x3, then 1x1, with batch norm; no float parts."""
    from torch import nn

    from bitwright.nn import BinaryConv2d

    stages = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    net, channels = nn.Sequential(), 32
    for outputs, stride in stages:
        for out, k, s in ((channels, 3, stride), (outputs, 1, 1)):
            net.append(BinaryConv2d(channels, out, k, stride=s, padding=k // 2, pad_value=1, method="bireal"))
            net.append(nn.BatchNorm2d(out))
            channels = out
    return net


def bert_base() -> Any:
    """The weight layers of one block of BERT-base on 128 tokens, one after the other (attention itself has none)."""
    from torch import nn

    from bitwright.nn import BinaryLinear

    sizes = [(768, 768)] * 4 + [(768, 3072), (3072, 768)]
    return nn.Sequential(*(BinaryLinear(n, out, method="bireal") for n, out in sizes))


def in_turn(before: Any, after: Any, index: int, rounds: int) -> tuple[list[float], list[float]]:
    """Nanoseconds of a layer in two sessions, in turn: each is the median of a few runs."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(2 * rounds):
        side = (turn + turn // 2) % 2  # who comes first changes
        session = (before, after)[side]
        times[side].append(float(np.median(session.time_op(index, repeats=7))))
    return times


def layers(threads: tuple[int, ...], quick: bool) -> list[dict[str, object]]:
    """The binary layers of networks in the engine."""
    import torch

    from bitwright import compiler, export, models
    from bitwright.runtime import Session

    rows: list[dict[str, object]] = []
    networks: tuple[tuple[str, Any, tuple[int, ...]], ...] = (
        ("resnet18", lambda: models.create("resnet18", method="bireal", num_classes=1000), (1, 3, 224, 224)),
        ("bnext_t", bnext_t, (1, 32, 112, 112)),
        ("vgg_small", lambda: models.create("vgg_small", method="bireal", num_classes=10), (1, 3, 32, 32)),
        ("bert_base", bert_base, (1, 128, 768)),
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, create, shape in networks[2:] if quick else networks:
            torch.manual_seed(0)
            net = create().eval()
            onnx, bwm = Path(folder, f"{name}.onnx"), Path(folder, f"{name}.bwm")
            export.to_onnx(export.freeze(net), torch.zeros(shape), onnx)
            compiler.compile(onnx, bwm)
            for count in threads:
                by_rules, session = Session(bwm, threads=count), Session(bwm, threads=count)
                report = tune_session(session, store=Store(Path(folder, "store")), again=True)
                binary = {op["index"]: op for op in by_rules.ops() if op["binary_macs"]}
                for layer in report.layers:
                    if layer.index not in binary or layer.source != "measured":
                        continue
                    ns = in_turn(by_rules, session, layer.index, 5 if quick else 31)
                    ratios = np.array(ns[0]) / np.array(ns[1])
                    low, middle, high = (float(np.quantile(ratios, q)) for q in (0.25, 0.5, 0.75))
                    rows.append(
                        {
                            "network": name,
                            "threads": count,
                            "layer": layer.name,
                            "shape": _shape(binary[layer.index]),
                            "by_rules": layer.standard,
                            "rules_us": round(float(np.median(ns[0])) / 1e3, 2),
                            "candidates": len(layer.ns),
                            "chosen": layer.kernel,
                            "chosen_us": round(float(np.median(ns[1])) / 1e3, 2),
                            "speedup": round(middle, 3),
                            "low": round(low, 3),
                            "high": round(high, 3),
                        }
                    )
                own = [r for r in rows if r["network"] == name and r["threads"] == count]
                before, after = (sum(float(str(r[key])) for r in own) for key in ("rules_us", "chosen_us"))
                changed = sum(r["chosen"] != r["by_rules"] for r in own)
                print(
                    f"{name}, {count} threads: {len(own)} layers, {changed} changed, {before / after:.3f}x", flush=True
                )
    return rows


def _shape(op: dict[str, Any]) -> str:
    """Such as "3x3 28x28x128 -> 256"."""
    kernel, (height, width, channels) = op["kernel_shape"][1:], op["in_shape"][1:]
    return f"{'x'.join(map(str, kernel))} {height}x{width}x{channels} -> {op['out_shape'][3]}"


def plot(regrets: list[Regret], target: Path) -> None:
    """Slowdown over the number of measured candidates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    colors = {"portfolio": "#0f766e", "predict": "#c2703d", "nearest": "#64748b"}
    for way, label in WAYS.items():
        own = [r for r in regrets if r.way == way]
        counts = [r.measured for r in own]
        axes.plot(counts, [100 * (r.mean - 1) for r in own], "o-", color=colors[way], label=label)
        axes.plot(counts, [100 * (r.worst - 1) for r in own], ":", color=colors[way], alpha=0.6)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({r.measured for r in regrets}), [str(c) for c in sorted({r.measured for r in regrets})])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("candidates measured")
    axes.set_ylabel("time lost, % (dotted: worst shape)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save(figure, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="successive halving, and no regret: a test of this script")
    args = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != str(args.threads):  # numpy's threads are fixed when it is imported
        os.execve(
            sys.executable, [sys.executable, *sys.argv], {**os.environ, "OPENBLAS_NUM_THREADS": str(args.threads)}
        )
    command = f"python benchmarks/tune_cpu.py --threads {args.threads}"
    rows, records = products(args.threads, args.quick)
    own = layers((1, 2), args.quick)
    if args.quick:
        return
    write_results(ROOT / "results/tune_products.csv", command, rows)
    write_results(ROOT / "results/tune_layers.csv", command, own)
    lines = "".join(record.to_line() + "\n" for record in records)
    write_atomically(ROOT / "results/tune_products.jsonl", lines.encode())
    regrets = compare(records, (1, 2, 4, 6, 8))
    table = [
        {
            "way": WAYS[r.way],
            "measured": r.measured,
            "mean_slowdown": round(r.mean, 4),
            "worst_slowdown": round(r.worst, 4),
            "shapes": len(r.slowdowns),
        }
        for r in regrets
    ]
    write_results(ROOT / "results/tune_regret.csv", command, table)
    plot(regrets, ROOT / "docs/images/tune-regret.png")
    for count in (1, 2):
        here = [r for r in own if r["threads"] == count]
        changed = np.array([float(str(r["speedup"])) for r in here if r["chosen"] != r["by_rules"]])
        noise = np.array([float(str(r["speedup"])) for r in here if r["chosen"] == r["by_rules"]])
        all_of = np.exp(np.log([*changed, *np.ones(len(noise))]).mean())
        print(
            f"layers, {count} threads: {np.sum(changed > 1.02)} of {len(here)} gain more than 2 %, geometric mean "
            f"{all_of:.3f}x; unchanged ones measured {noise.min():.3f} to {noise.max():.3f}"
        )


if __name__ == "__main__":
    main()
