"""Whole networks: engine against onnxruntime on the float twin, in turn in one run. Writes results/latency.csv.

    python benchmarks/latency.py [--quick]

One image, one thread. The networks have random weights and batch norm statistics of random data: neither changes the
time. The twin has the same topology with float convolutions and ReLU.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from bitwright import compiler, export, models, runtime
from bitwright.bench import interleave, ratio
from bitwright.bench.results import write_results
from bitwright.compiler.pixels import Pixels

NETWORKS: list[tuple[str, tuple[int, int, int], dict[str, Any]]] = [
    ("binarycnn_s", (1, 8, 8), {}),
    ("binarycnn_m", (1, 28, 28), {}),
    ("lenet", (1, 28, 28), {}),
    ("groupnet", (1, 28, 28), {}),
    ("vgg_small", (3, 32, 32), {}),
    ("resnet20", (3, 32, 32), {}),
    ("resnet18", (3, 32, 32), {"stem": "cifar"}),
    ("resnet18", (3, 224, 224), {"stem": "imagenet", "num_classes": 1000}),
]


def build(name: str, shape: tuple[int, int, int], method: str | None, arguments: dict[str, Any], path: Path) -> None:
    """A network with settled batch norm statistics, as ONNX."""
    torch.manual_seed(0)
    network = models.create(name, in_channels=shape[0], method=method, **arguments).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, *shape))
    network.eval()
    frozen = export.freeze(network) if method else network
    export.to_onnx(frozen, torch.zeros(2, *shape), path, input_names=["image"], output_names=["logits"])


def compile_int8(source: Path, target: Path, shape: tuple[int, int, int], *, uint8: bool) -> None:
    """Compiles a network with int8 float layers and int16 residuals, for float images or for uint8 pixels.

    Calibrated on 8 random images: neither their contents nor the normalisation (ImageNet's) changes the time.
    """
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (8, *shape), dtype=np.uint8) if uint8 else rng.standard_normal((8, *shape))
    images = images if uint8 else images.astype(np.float32)
    pixels = Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0) if uint8 else None
    compiler.compile(
        source, target, float_layers="int8", residual="int16", uint8_input=uint8, pixels=pixels,
        calibration=[images[i : i + 1] for i in range(8)],
    )  # fmt: skip


def measure(
    name: str, shape: tuple[int, int, int], arguments: dict[str, Any], folder: Path, rounds: int
) -> dict[str, object]:
    """Latencies and sizes of one network."""
    binary, twin, compiled = folder / "binary.onnx", folder / "twin.onnx", folder / "binary.bwm"
    build(name, shape, "reactnet", arguments, binary)
    build(name, shape, None, arguments, twin)
    compiler.compile(binary, compiled)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    peer = onnxruntime.InferenceSession(str(twin), options, providers=["CPUExecutionProvider"])
    session = runtime.Session(compiled, threads=1)
    x = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
    timings = interleave(
        {"engine": lambda: session.run(x), "onnxruntime": lambda: peer.run(None, {"image": x})}, rounds=rounds
    )
    return {
        "network": name,
        "input": "x".join(map(str, shape)),
        "method": "reactnet",
        "engine_us": round(timings["engine"].median * 1e6, 1),
        "onnxruntime_float_us": round(timings["onnxruntime"].median * 1e6, 1),
        "ratio": round(ratio(timings["onnxruntime"], timings["engine"]), 2),
        "bwm_bytes": os.path.getsize(compiled),
        "float_onnx_bytes": os.path.getsize(twin),
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing written")
    quick = parser.parse_args().quick
    rows = []
    for name, shape, arguments in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, shape, arguments, Path(folder), 5 if quick else 31)
        print(
            f"{name:12} {row['input']:>10}: engine {row['engine_us']:>9} µs,"
            f" onnxruntime float {row['onnxruntime_float_us']:>9} µs,"
            f" {row['ratio']}x faster, {row['float_onnx_bytes']:,} -> {row['bwm_bytes']:,} bytes",
            flush=True,
        )
        rows.append(row)
    if not quick:
        print(f"wrote {write_results('results/latency.csv', 'python benchmarks/latency.py', rows)}")


if __name__ == "__main__":
    main()
