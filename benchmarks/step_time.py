"""Time of a training step of a binary ResNet-20 relative to the float one: one thread, no torch.compile, interleaved.

    python benchmarks/step_time.py [METHOD ...] [--batch 64] [--rounds 9]

Writes results/step_time.csv: medians, and the median of the ratios of neighbouring steps. A step is forward, loss,
backward, SGD with momentum, and everything that the method adds (regularization, before_step, after_step). The float
network is the same ResNet-20 with its own activations (ReLU).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bitwright import binarize, models  # noqa: E402
from bitwright.bench.results import write_results  # noqa: E402

RESULTS = ROOT / "results/step_time.csv"
FLOAT = "float"
METHODS = ("bnn", "bireal", "reactnet", "xnornet", "dorefa", "irnet")


class Stepper:
    """A network that takes steps on one batch of images of 32x32."""

    def __init__(self, method: str, batch: int) -> None:
        torch.manual_seed(0)
        self.net = models.create("resnet20", method=None if method == FLOAT else method)
        self.x, self.y = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
        binarize.initialize_from_data(self.net, self.x)
        binarize.set_progress(self.net, epoch=0, epochs=2)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9)

    def seconds(self) -> float:
        start = time.perf_counter()
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(self.x), self.y)
        extra = binarize.regularization(self.net)
        (loss if extra is None else loss + extra).backward()
        binarize.before_step(self.net)
        self.optimizer.step()
        binarize.after_step(self.net)
        return time.perf_counter() - start


def measure(methods: list[str], batch: int, rounds: int) -> list[dict[str, object]]:
    """One row a method."""
    steppers = {name: Stepper(name, batch) for name in (FLOAT, *methods)}
    times: dict[str, list[float]] = {name: [] for name in steppers}
    for stepper in steppers.values():
        stepper.seconds()
    for _ in range(rounds):
        for name, stepper in steppers.items():
            times[name].append(stepper.seconds())
    rows: list[dict[str, object]] = []
    for name, own in times.items():
        ratios = sorted(a / b for a, b in zip(own, times[FLOAT], strict=True))
        rows.append(
            {
                "network": "resnet20",
                "method": name,
                "batch": batch,
                "rounds": rounds,
                "step_ms": f"{1e3 * statistics.median(own):.1f}",
                "times_float": f"{statistics.median(ratios):.3f}",
                "lowest": f"{ratios[0]:.3f}",
                "highest": f"{ratios[-1]:.3f}",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=list(METHODS))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(options.methods, options.batch, options.rounds)
    command = "python benchmarks/step_time.py"
    command += "".join(f" {name}" for name in options.methods if tuple(options.methods) != METHODS)
    command += f" --batch {options.batch} --rounds {options.rounds}"
    write_results(options.output, command, rows)
    for row in rows:
        print(f"{row['method']:10} {row['step_ms']:>8} ms  {row['times_float']} ({row['lowest']} to {row['highest']})")


if __name__ == "__main__":
    main()
