"""The engine against PyTorch eval, layer by layer, on all test images of Fashion-MNIST. Writes results/verify.csv.

    python benchmarks/verify.py [--limit N] [--networks resnet20,groupnet] [--kernels portable]

Networks are trained for some steps first, so that their batch norm statistics and weights are real; checkpoints stay in
runs/verify. Every kernel that the machine has, with 1 thread and batch 32 and with 2 threads and batch 1 (the default
kernel: all four pairs). PyTorch's tensors are computed once a batch and shared by all of them.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from bitwright import compiler, runtime
from bitwright.bench.pipeline import export_network, load_trained, prepared_test_images
from bitwright.bench.quickstart import find_recipe
from bitwright.bench.results import earlier_rows, write_results
from bitwright.export import TorchReference

# network -> (recipe, training steps, further arguments). VGG-small has the papers' width.
RECIPES: dict[str, tuple[str, int, list[str]]] = {
    "vgg_small": ("fashion_vgg_small.yaml", 40, ["--model.network_arguments.width", "128"]),
    "resnet20": ("fashion_resnet20.yaml", 100, []),
    "groupnet": ("fashion_groupnet.yaml", 100, []),
}
PIECE = 32
RESULTS = "results/verify.csv"


class Cached:
    """PyTorch's tensors of the current piece of 32 images, sliced for engines that take smaller batches."""

    def __init__(self, reference: TorchReference) -> None:
        self._reference = reference
        self._tensors: Mapping[str, np.ndarray[Any, Any]] = {}
        self._start = 0
        self._size = 0

    def load(self, piece: np.ndarray[Any, Any]) -> None:
        """Compute the tensors of a piece."""
        self._tensors, self._size, self._start = self._reference.run(piece), len(piece), 0

    def rewind(self) -> None:
        """The next call asks for the piece's first images again."""
        self._start = 0

    def tensors(self, *inputs: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The next len(inputs[0]) images' tensors."""
        begin, end = self._start, self._start + len(inputs[0])
        if end > self._size:
            raise ValueError(f"asked for images {begin}..{end} of a piece of {self._size}")
        self._start = end
        return {name: array[begin:end] for name, array in self._tensors.items()}


def trained(name: str, root: Path) -> Path:
    """A checkpoint after some steps of the network's recipe; an existing one is used again."""
    from bitwright.train.cli import train_main

    folder = root / name
    if not (folder / "last.ckpt").exists():
        recipe, steps, extra = RECIPES[name]
        arguments = ["--config", str(find_recipe(recipe)), "--run_dir", str(folder), "--data.val_size", "0", *extra]
        arguments += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", str(steps)]
        if train_main(arguments):
            raise SystemExit("training stopped")
    return folder / "last.ckpt"


def configurations(kernels: list[str]) -> Iterator[tuple[str, int, int]]:
    """(kernel, threads, batch): all four pairs for this CPU's default kernel, two for the others."""
    default = next(k["isa"] for k in runtime.kernels() if k["default"] and k["operation"] == "bconv")
    for kernel in kernels:
        pairs = itertools.product((1, 2), (1, PIECE)) if kernel == default else [(1, PIECE), (2, 1)]
        yield from ((kernel, threads, batch) for threads, batch in pairs)


def verify_network(name: str, checkpoint: Path, kernels: list[str], limit: int | None) -> list[dict[str, object]]:
    """All configurations of one network over the test images."""
    network, recipe, facts = load_trained(checkpoint)
    onnx_path, bwm_path = checkpoint.with_name("net.onnx"), checkpoint.with_name("net.bwm")
    export_network(network, onnx_path, facts)
    compiler.compile(onnx_path, bwm_path)
    images, _ = prepared_test_images(recipe, limit=limit)
    cached = Cached(TorchReference(network, onnx.load(str(onnx_path))))
    checks = {
        c: compiler.Verifier(onnx_path, bwm_path, reference=cached, threads=c[1], kernel=c[0])
        for c in configurations(kernels)
    }
    start = time.perf_counter()
    for begin in range(0, len(images), PIECE):
        piece = images[begin : begin + PIECE].numpy()
        with torch.no_grad():
            cached.load(piece)
        for (_, _, batch), check in checks.items():
            cached.rewind()
            check.add(piece, batch=batch)
        if begin // PIECE % 20 == 0:
            print(
                f"{name}: {begin + len(piece):,} of {len(images):,} images, {time.perf_counter() - start:.0f} s",
                flush=True,
            )
    rows = []
    for (kernel, threads, batch), check in checks.items():
        report = check.report
        rows.append(
            {
                "network": name,
                "method": recipe["network"]["method"],
                "images": report.samples,
                "kernel": kernel,
                "threads": threads,
                "batch": batch,
                "ok": report.ok,
                "argmax_equal": f"{report.agreement:.6f}",
                "bits_compared": sum(v.compared for v in report.values if v.dtype == "bits"),
                "flips": report.flips,
                "bugs": report.bugs,
                "disagreements": len(report.disagreements),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="engine against PyTorch eval on the Fashion-MNIST test images")
    parser.add_argument("--limit", type=int, default=None, help="first so many images only; nothing is written")
    parser.add_argument("--networks", default=",".join(RECIPES), help="comma-separated")
    parser.add_argument(
        "--kernels", default=None, help="comma-separated instruction sets; all that this CPU runs otherwise"
    )
    options = parser.parse_args()
    available = [k["isa"] for k in runtime.kernels() if k["supported"] and k["operation"] == "bconv"]
    kernels = options.kernels.split(",") if options.kernels else sorted(set(available))
    for name in options.networks.split(","):
        rows = verify_network(name, trained(name, Path("runs/verify")), kernels, options.limit)
        for row in rows:
            print(*row.values())
        if options.limit is None:
            command, keep = f"python benchmarks/verify.py --networks {name}", earlier_rows(RESULTS, "network", name)
            print(f"wrote {write_results(RESULTS, command, rows, keep=keep)}")
        if not all(row["ok"] for row in rows):
            raise SystemExit(f"{name}: NOT ok")


if __name__ == "__main__":
    main()
