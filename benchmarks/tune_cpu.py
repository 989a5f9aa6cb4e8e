"""What tuning is worth on this CPU, and how well a few measurements find the best candidate.

    python benchmarks/tune_cpu.py [--threads N] [--quick]

- results/tune_products.csv: matrix products of the 1-bit layers of ResNet-18, BNext-T, VGG-small and BERT-base. Every
  candidate is checked against the integer product and measured (exhaustive search); the default, the best, and the
  dense float32 product of numpy with as many threads.
- results/tune_layers.csv: the binary layers of ResNet-18, BNext-T, VGG-small and BERT-base in the engine, by the kernel
  that rules choose and by the fastest one.
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
        outcome: Outcome = search(found, strategy_of("halving" if quick else "exhaustive"), CpuRunner(problem))
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
                "default_us": round(1e6 * time(found.configs[0]), 2),
                "best": str(outcome.best),
                "best_us": round(1e6 * time(outcome.best), 2),
                "speedup": round(outcome.speedup, 3),
                "over_dense": round(time(dense) / time(outcome.best), 2),
            }
        )
        print(f"{name:18} {len(found.configs):3} candidates, tuned {outcome.speedup:.2f}x, {outcome.best}", flush=True)
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


def layers(threads: int) -> list[dict[str, object]]:
    """The binary layers of networks in the engine."""
    import torch

    from bitwright import compiler, export, models
    from bitwright.runtime import Session

    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, create, shape in (
            ("resnet18", lambda: models.create("resnet18", method="bireal", num_classes=1000), (1, 3, 224, 224)),
            ("bnext_t", bnext_t, (1, 32, 112, 112)),
            ("vgg_small", lambda: models.create("vgg_small", method="bireal", num_classes=10), (1, 3, 32, 32)),
            ("bert_base", bert_base, (1, 128, 768)),
        ):
            torch.manual_seed(0)
            net = create().eval()
            onnx, bwm = Path(folder, f"{name}.onnx"), Path(folder, f"{name}.bwm")
            export.to_onnx(export.freeze(net), torch.zeros(shape), onnx)
            compiler.compile(onnx, bwm)
            session = Session(bwm, threads=threads)
            report = tune_session(session, store=Store(folder), again=True)
            for layer in report.layers:
                if layer.before is None or layer.after is None or layer.source != "measured":
                    continue
                rows.append(
                    {
                        "network": name,
                        "layer": layer.name,
                        "kind": layer.kind,
                        "by_rules": layer.standard,
                        "rules_us": round(layer.before / 1e3, 2),
                        "chosen": layer.kernel,
                        "chosen_us": round(layer.after / 1e3, 2),
                        "speedup": round(layer.before / layer.after, 3),
                    }
                )
            print(f"{name}: {report}", flush=True)
    return rows


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
    own = layers(args.threads)
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
    gains = np.array([float(str(r["speedup"])) for r in own])
    mean = np.exp(np.log(gains).mean())
    print(f"layers: {np.sum(gains > 1.03)} of {len(gains)} gain more than 3 %, geometric mean {mean:.3f}x")


if __name__ == "__main__":
    main()
