"""The quickstart: real images -> trained 1-bit network -> compiled file -> answers, compared at every step."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitwright.bench.latency import Timing, interleave, ratio
from bitwright.bench.pipeline import export_network, float_twin, load_trained, prepared_test_images
from bitwright.bench.results import machine
from bitwright.files import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bitwright.report import Page


@dataclass(frozen=True)
class Agreement:
    """How one implementation's logits compare with PyTorch eval on the same images."""

    name: str
    accuracy: float
    same_class: float
    largest_difference: float


@dataclass(frozen=True)
class QuickstartResult:
    """What the quickstart measured; see `run_quickstart`."""

    accuracy: float
    images: int
    agreements: tuple[Agreement, ...]
    verify_ok: bool
    verify_text: str
    bwm_bytes: int
    float_bytes: int
    engine: Timing
    binary_ort: Timing
    float_ort: Timing
    train_seconds: float
    folder: Path

    @property
    def speed_up(self) -> float:
        """Latency of the float twin in onnxruntime over the engine's, median of the rounds."""
        return ratio(self.float_ort, self.engine)

    @property
    def ok(self) -> bool:
        """All implementations agree (design: 99.9 % of the classes, layers verified)."""
        return self.verify_ok and all(a.same_class >= 0.999 for a in self.agreements)


def find_recipe(name: str) -> Path:
    """A recipe of the project: beside the package in an installation, at the root in a checkout.

    Raises:
        FileNotFoundError: with the places looked at.
    """
    import bitwright

    package = Path(bitwright.__file__).resolve().parent
    places = [package / "recipes" / name, package.parents[1] / "recipes" / name]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"recipe {name}: not at {' or '.join(map(str, places))}")


def run_quickstart(
    folder: Path,
    *,
    recipe: str = "digits_cnn.yaml",
    epochs: int | None = None,
    say: Callable[[str], None] = print,
) -> QuickstartResult:
    """Train, freeze, export, compile, run and compare; everything is written below `folder`.

    Args:
        folder: files of an earlier quickstart in it are overwritten.
        recipe: file name of a recipe of the project.
        epochs: instead of the recipe's.
        say: gets one line for each step.

    Returns:
        What was measured. `result.json` holds the same.
    """
    import onnx
    import onnxruntime
    import torch

    from bitwright import compiler, export, runtime
    from bitwright.export import TorchReference
    from bitwright.train.cli import train_main

    folder.mkdir(parents=True, exist_ok=True)
    run_dir = folder / "train"
    say("1/5  train a 1-bit CNN on real images")
    start = time.perf_counter()
    arguments = ["--config", str(find_recipe(recipe)), "--run_dir", str(run_dir), "--overwrite", "true"]
    status = train_main(arguments + (["--trainer.max_epochs", str(epochs)] if epochs else []))
    if status:
        raise RuntimeError(f"training stopped with status {status}")
    seconds = time.perf_counter() - start

    say("2/5  freeze to bits, export to ONNX, compile to .bwm")
    network, stored, facts = load_trained(run_dir / "last.ckpt")
    onnx_path, bwm_path = folder / "net.onnx", folder / "net.bwm"
    twin_path = folder / "float-twin.onnx"
    export_network(network, onnx_path, facts)
    export_network(float_twin(stored), twin_path, facts)
    compiler.compile(onnx_path, bwm_path)

    say("3/5  run the test images in PyTorch, onnxruntime and the engine")
    images, labels = prepared_test_images(stored)
    x, truth = images.numpy(), labels.numpy()
    frozen = export.freeze(network)
    with torch.no_grad():
        reference = network(images).numpy()
        packed = frozen(images).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    binary_ort = onnxruntime.InferenceSession(str(onnx_path), options, providers=["CPUExecutionProvider"])
    twin_ort = onnxruntime.InferenceSession(str(twin_path), options, providers=["CPUExecutionProvider"])
    session = runtime.Session(bwm_path, threads=1)
    agreements = (
        _agreement("PyTorch, eval mode", reference, reference, truth),
        _agreement("PyTorch, frozen bits", packed, reference, truth),
        _agreement("onnxruntime", binary_ort.run(None, {"image": x})[0], reference, truth),
        _agreement("bitwright engine", session.run(x), reference, truth),
    )

    say("4/5  verify layer by layer, the engine against PyTorch")
    report = compiler.verify(onnx_path, bwm_path, x, reference=TorchReference(network, onnx.load(str(onnx_path))))

    say("5/5  time one image, single thread, all in turn")
    one = np.ascontiguousarray(x[:1])
    timings = interleave(
        {
            "engine": lambda: session.run(one),
            "binary_ort": lambda: binary_ort.run(None, {"image": one}),
            "float_ort": lambda: twin_ort.run(None, {"image": one}),
        }
    )
    result = QuickstartResult(
        accuracy=agreements[-1].accuracy,
        images=len(truth),
        agreements=agreements,
        verify_ok=report.ok,
        verify_text=str(report),
        bwm_bytes=os.path.getsize(bwm_path),
        float_bytes=os.path.getsize(twin_path),
        engine=timings["engine"],
        binary_ort=timings["binary_ort"],
        float_ort=timings["float_ort"],
        train_seconds=seconds,
        folder=folder,
    )
    _write_json(result, facts.title)
    _page(result, facts.title, run_dir, bwm_path).write(folder / "report.html")
    return result


def summary_rows(result: QuickstartResult) -> list[tuple[str, str, str, str]]:
    """The closing table: what, 1-bit network, float twin, ratio."""
    return [
        ("test accuracy", f"{result.accuracy:.2%} of {result.images} images", "not trained", ""),
        (
            "file size",
            f"{result.bwm_bytes:,} bytes (.bwm)",
            f"{result.float_bytes:,} bytes (.onnx)",
            f"{result.float_bytes / result.bwm_bytes:.1f}x smaller",
        ),
        (
            "latency, 1 image, 1 thread",
            f"{result.engine.median * 1e6:,.1f} µs (engine)",
            f"{result.float_ort.median * 1e6:,.1f} µs (onnxruntime)",
            f"{result.speed_up:.1f}x faster",
        ),
        ("PyTorch, onnxruntime and engine agree", "yes" if result.ok else "NO", "", ""),
    ]


def _agreement(name: str, logits: NDArray[Any], reference: NDArray[Any], truth: NDArray[Any]) -> Agreement:
    return Agreement(
        name=name,
        accuracy=float((logits.argmax(1) == truth).mean()),
        same_class=float((logits.argmax(1) == reference.argmax(1)).mean()),
        largest_difference=float(np.abs(logits - reference).max()),
    )


def _write_json(result: QuickstartResult, title: str) -> None:
    entry = {
        "data": title,
        "images": result.images,
        "accuracy": result.accuracy,
        "agreement": [a.__dict__ for a in result.agreements],
        "verified": result.verify_ok,
        "bwm_bytes": result.bwm_bytes,
        "float_onnx_bytes": result.float_bytes,
        "engine_us": result.engine.median * 1e6,
        "onnxruntime_float_us": result.float_ort.median * 1e6,
        "onnxruntime_binary_us": result.binary_ort.median * 1e6,
        "speed_up": result.speed_up,
        "train_seconds": result.train_seconds,
        "machine": machine(),
    }
    write_atomically(result.folder / "result.json", (json.dumps(entry, indent=2) + "\n").encode("utf-8"))


def _metrics(run_dir: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Column -> (epochs, values) of the newest CSV log of a run."""
    logs = sorted((run_dir / "csv").glob("version_*/metrics.csv"), key=lambda p: p.stat().st_mtime)
    columns: dict[str, tuple[list[float], list[float]]] = {}
    if not logs:
        return columns
    with logs[-1].open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and row.get("epoch") and math.isfinite(float(value)):
                    x, y = columns.setdefault(name, ([], []))
                    x.append(float(row["epoch"]) + 1)
                    y.append(float(value))
    return columns


def _page(result: QuickstartResult, title: str, run_dir: Path, bwm_path: Path) -> Page:
    from bitwright import compiler, report

    page = report.Page(
        "bitwright quickstart", f"A 1-bit CNN on {title}: trained, compiled, run and compared on this machine."
    )
    page.table(["", "1-bit network", "float twin", "ratio"], summary_rows(result), right=(3,))
    page.heading("Training")
    metrics = _metrics(run_dir)
    accuracy = {n: metrics[c] for n, c in (("train", "train_acc"), ("validation", "valid_acc")) if c in metrics}
    flips = {n.removeprefix("flip/"): v for n, v in metrics.items() if n.startswith("flip/")}
    panels = {t: lines for t, lines in (("accuracy", accuracy), ("flip ratio by layer", flips)) if lines}
    if panels:
        page.figure(
            report.curves(panels),
            "Accuracy, and the share of binary weights that changed sign in each epoch: it falls as training settles.",
        )
    page.heading("One model, one meaning")
    page.table(
        ["implementation", "test accuracy", "same class as PyTorch", "largest difference of a logit"],
        [
            (a.name, f"{a.accuracy:.2%}", f"{a.same_class:.2%}", f"{a.largest_difference:.2g}")
            for a in result.agreements
        ],
        right=(1, 2, 3),
    )
    page.heading("Speed and size")
    page.figure(
        report.bars(
            {
                "engine, 1-bit": result.engine.median * 1e6,
                "onnxruntime, float twin": result.float_ort.median * 1e6,
                "onnxruntime, same 1-bit file": result.binary_ort.median * 1e6,
            },
            "µs",
            spread={
                "engine, 1-bit": _micro(result.engine),
                "onnxruntime, float twin": _micro(result.float_ort),
                "onnxruntime, same 1-bit file": _micro(result.binary_ort),
            },
        ),
        "Latency of one image on one thread, medians of interleaved rounds (thin line: quartiles). "
        "onnxruntime runs the 1-bit file through the dialect's function bodies: a correctness oracle, not a contender.",
    )
    page.figure(
        report.bars({"1-bit .bwm": result.bwm_bytes / 1024, "float .onnx": result.float_bytes / 1024}, "KiB"),
        "Bytes on disk.",
    )
    page.heading("What the file holds")
    page.table(
        ["layer", "op", "weights", "kernel", "binary MACs", "float MACs", "bytes"],
        [
            (
                layer.module or layer.name,
                layer.kind,
                layer.precision,
                layer.kernel,
                f"{layer.binary_macs:,}",
                f"{layer.float_macs:,}",
                f"{layer.weight_bytes + layer.parameter_bytes:,}",
            )
            for layer in compiler.inspect(bwm_path).layers
        ],
        right=(4, 5, 6),
    )
    page.footer(
        f"Regenerate with `make quickstart`. Machine: {machine()}. The float twin has the same topology with "
        "float convolutions and ReLU; its weights are random, which changes neither its size nor its latency."
    )
    return page


def _micro(timing: Timing) -> tuple[float, float]:
    low, high = timing.quartiles
    return low * 1e6, high * 1e6
