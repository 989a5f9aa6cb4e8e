"""Every binarization method on the same small network, data, budget and seeds: does it train, and what does it cost?

    python benchmarks/methods.py [NAME ...] [--seeds 3] [--images 3000] [--epochs 6] [--data-root DIR]

Writes results/methods_fashion.csv after every method (a run that was interrupted goes on where it stopped; --again
measures anew) and docs/images/methods-fashion.png.

Schedules that count epochs end with the budget: bnext's and boolnet's decay of T belongs to hundreds of epochs and is
chosen here so that the weights are signs in the last one.

The budget is small and the same for all, so the table says whether a method works and what it costs, not which one is
the best after the long training of its paper. Nothing of a method's own recipe is used besides its schedules, losses
and data-driven starts: no float pretraining, no teacher, no stages; `left out` names what its paper has beyond that.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.plots import save  # noqa: E402

from bitwright import binarize, data, models  # noqa: E402
from bitwright.bench.results import PROVENANCE, write_results  # noqa: E402
from bitwright.train.config import OptimizerConfig  # noqa: E402
from bitwright.train.optimizers import build_optimizer  # noqa: E402

RESULTS = ROOT / "results/methods_fashion.csv"
PLOT = ROOT / "docs/images/methods-fashion.png"
FLOAT = "float"
BATCH, TEST_IMAGES, LR = 100, 4000, 2e-3
ANNEALED = ("bnext", "boolnet")
SIGNS = 1e-7  # below this T, annealed weights are signs
NOT_USED = ("pretrained", "teacher", "two stages")


@dataclasses.dataclass(frozen=True)
class Split:
    """Images `[N, 1, 28, 28]` and labels."""

    images: Tensor
    labels: Tensor


def fashion(images: int, root: str | None) -> tuple[Split, Split]:
    """The first `images` training images and the first test images, normalised."""
    module = data.create("fashion", **({} if root is None else {"root": root}))
    module.prepare_data()
    module.setup()

    def first(loader: Any, wanted: int) -> Split:
        xs, ys = [], []
        for x, y in loader:
            xs.append(x)
            ys.append(y)
            if sum(map(len, xs)) >= wanted:
                break
        return Split(torch.cat(xs)[:wanted], torch.cat(ys)[:wanted])

    torch.manual_seed(0)
    return first(module.train_dataloader(), images), first(module.test_dataloader(), TEST_IMAGES)


def network(method: str, epochs: int) -> nn.Module:
    """Stem of 32 channels with stride 2, a binary unit at 14x14 and two at 7x7; 0.1 M binary weights."""
    chosen = binarize.get_method(method, decay=SIGNS ** (1 / epochs)) if method in ANNEALED else method
    return models.create(
        "binarycnn_s",
        in_channels=1,
        method=None if method == FLOAT else chosen,
        widths=(32, 64),
        blocks=(2, 2),
        stem_stride=2,
    )


def step(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """One step of training, with everything that a method may add to it."""
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x), y)
    extra = binarize.regularization(net)
    (loss if extra is None else loss + extra).backward()
    binarize.before_step(net)
    optimizer.step()
    binarize.after_step(net)


@torch.no_grad()
def accuracy(net: nn.Module, split: Split) -> float:
    """Percent, in eval mode."""
    net.eval()
    right = sum(int((net(x).argmax(1) == y).sum()) for x, y in batches(split, 500))
    net.train()
    return 100 * right / len(split.labels)


def batches(split: Split, size: int, order: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
    """The split in pieces, in the order of `order`."""
    order = torch.arange(len(split.labels)) if order is None else order
    return [(split.images[i], split.labels[i]) for i in order.split(size)]


def train(method: str, seed: int, epochs: int, training: Split, test: Split) -> tuple[float, float]:
    """Test accuracy before and after training."""
    torch.manual_seed(seed)
    net = network(method, epochs)
    binarize.initialize_from_data(net, training.images[:BATCH])
    optimizer = build_optimizer(net, OptimizerConfig(name="adamw", lr=LR, weight_decay=0.0))
    steps = epochs * -(-len(training.labels) // BATCH)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    before = accuracy(net, test)
    done = 0
    for epoch in range(epochs):
        order = torch.randperm(len(training.labels), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        for x, y in batches(training, BATCH, order):
            binarize.set_progress(net, epoch=epoch, epochs=epochs, step=done, steps=steps)
            step(net, optimizer, x, y)
            rate.step()
            done += 1
    binarize.set_progress(net, epoch=epochs, epochs=epochs, step=steps, steps=steps)
    return before, accuracy(net, test)


class Stepper:
    """A network that takes steps on one batch, for its time and its memory."""

    def __init__(self, method: str, x: Tensor, y: Tensor) -> None:
        torch.manual_seed(0)
        self.net, self.x, self.y = network(method, 2), x, y
        binarize.initialize_from_data(self.net, x)
        binarize.set_progress(self.net, epoch=0, epochs=2, step=0, steps=2)
        self.optimizer = build_optimizer(self.net, OptimizerConfig(name="adamw", lr=1e-4))

    def seconds(self) -> float:
        start = time.perf_counter()
        step(self.net, self.optimizer, self.x, self.y)
        return time.perf_counter() - start

    def state_bytes(self) -> int:
        """Parameters and buffers."""
        return sum(t.numel() * t.element_size() for t in (*self.net.parameters(), *self.net.buffers()))

    def saved_bytes(self) -> int:
        """What a forward pass keeps for the backward pass, beside the parameters."""
        kept: dict[int, int] = {}
        own = {t.untyped_storage().data_ptr() for t in (*self.net.parameters(), *self.net.buffers())}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = F.cross_entropy(self.net(self.x), self.y)
            extra = binarize.regularization(self.net)
            total = loss if extra is None else loss + extra
            total.backward()
        return sum(kept.values())


def costs(method: str, training: Split, rounds: int = 15) -> tuple[float, float, int, float]:
    """Milliseconds a step, times the float network's step (in turn, medians), state bytes, saved bytes over float's."""
    x, y = training.images[:BATCH], training.labels[:BATCH]
    ours, twin = Stepper(method, x, y), Stepper(FLOAT, x, y)
    times: tuple[list[float], list[float]] = ([], [])
    for round_ in range(rounds + 3):
        for stepper, seconds in zip((ours, twin), times, strict=True):
            taken = stepper.seconds()
            if round_ >= 3:
                seconds.append(taken)
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    return 1e3 * statistics.median(times[0]), ratio, ours.state_bytes(), ours.saved_bytes() / twin.saved_bytes()


def measure(method: str, args: argparse.Namespace, training: Split, test: Split) -> dict[str, object]:
    """One row."""
    runs = [train(method, seed, args.epochs, training, test) for seed in range(args.seeds)]
    after = [b for _, b in runs]
    ms, ratio, state, saved = costs(method, training)
    info = None if method == FLOAT else binarize.method_info(method)
    left_out = [] if info is None else [need for need in NOT_USED if need in info.requires]
    return {
        "method": method,
        "year": "" if info is None else info.year,
        "bits": "32 / 32" if info is None else f"{info.weight_bits} / {info.activation_bits}",
        "accuracy": round(statistics.mean(after), 2),
        "std": round(statistics.stdev(after), 2) if len(after) > 1 else "",
        "untrained": round(statistics.mean(b for b, _ in runs), 2),
        "step_ms": round(ms, 2),
        "step_times_float": round(ratio, 2),
        "state_kb": round(state / 1e3, 1),
        "saved_times_float": round(saved, 2),
        "left_out": ", ".join(left_out),
        "seeds": args.seeds,
        "images": args.images,
        "epochs": args.epochs,
    }


def plot(rows: list[dict[str, str]]) -> None:
    """Accuracy with its spread, best first."""
    from matplotlib.figure import Figure

    rows = sorted(rows, key=lambda row: float(row["accuracy"]))
    figure = Figure(figsize=(7, 0.21 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    weight_only = [row["bits"].endswith("32") for row in rows]
    for kind, color, label in ((True, "#c2703d", "real activations"), (False, "#0f766e", "activations of few bits")):
        at = [i for i, real in enumerate(weight_only) if real is kind]
        axes.errorbar(
            [float(rows[i]["accuracy"]) for i in at],
            at,
            xerr=[float(rows[i]["std"] or 0) for i in at],
            fmt="o",
            markersize=4,
            color=color,
            elinewidth=1,
            label=label,
        )
    axes.set_yticks(range(len(rows)), [row["method"] for row in rows], fontsize=8)
    axes.set_ylim(-0.8, len(rows) - 0.2)
    axes.set_xlabel(
        f"test accuracy, % ({rows[0]['images']} images of Fashion-MNIST, {rows[0]['epochs']} epochs, "
        f"{rows[0]['seeds']} seeds)"
    )
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, PLOT)


def known_rows() -> list[dict[str, str]]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="registry names; default: all, and the float network")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=3000, help="training images")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--again", action="store_true", help="measure methods anew that the table has")
    parser.add_argument("--data-root", help="folder of the data sets; default: BITWRIGHT_DATA")
    args = parser.parse_args()
    everything = [FLOAT, *(info.name for info in binarize.list_methods())]
    for name in args.methods:
        if name not in everything:
            parser.error(f"unknown method {name!r}; known are {', '.join(everything)}")
    torch.set_num_threads(1)
    budget = {"seeds": str(args.seeds), "images": str(args.images), "epochs": str(args.epochs)}
    rows = [row for row in known_rows() if all(row[key] == value for key, value in budget.items())]
    have = set() if args.again else {row["method"] for row in rows}
    wanted = [name for name in (args.methods or everything) if name not in have]
    training, test = fashion(args.images, args.data_root)
    command = f"python benchmarks/methods.py --seeds {args.seeds} --images {args.images} --epochs {args.epochs}"
    for number, name in enumerate(wanted, 1):
        row = measure(name, args, training, test)
        keep = [{k: row_[k] for k in (*row, *PROVENANCE)} for row_ in known_rows() if _same(row_, budget, name)]
        write_results(RESULTS, command, [row], keep=keep)
        print(
            f"[{number}/{len(wanted)}] {name:14} {row['accuracy']} +- {row['std']} % (untrained {row['untrained']} %), "
            f"{row['step_times_float']}x float a step",
            flush=True,
        )
    plot(known_rows())


def _same(row: dict[str, str], budget: dict[str, str], name: str) -> bool:
    return row["method"] != name and all(row[key] == value for key, value in budget.items())


if __name__ == "__main__":
    main()
