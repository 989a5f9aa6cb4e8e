"""Whole networks on emulated AArch64: every answer as on x86-64.

    make arm-test                                # builds build/arm
    python benchmarks/arm_networks.py            # about a minute

Networks of the zoo, with random weights and batch-norm statistics, are compiled and run by the portable kernels of
this machine; then the native test `Golden` runs the files under qemu-user with every instruction set (portable, neon,
neondot) and compares. Floats may differ by 1e-5, integers not at all. A float sum that is added up in another order
could flip a bit of a fp32 network, and the test would fail: with these seeds none does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from bitwright import compiler, models
from bitwright.binarize import get_method
from bitwright.export import freeze, to_onnx
from bitwright.models.style import MethodLike

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

TESTS = "build/arm/native/bitwright_tests"
TEST = "Models/Golden.EveryInstructionSetAnswersTheSame"

# name, network, method, image, how it is compiled
Row = tuple[str, str, MethodLike, tuple[int, int, int], dict[str, Any]]
NETWORKS: list[Row] = [
    ("resnet18", "resnet18", "reactnet", (3, 64, 64), {}),
    ("resnet18_int8", "resnet18", "reactnet", (3, 64, 64), {"float_layers": "int8", "residual": "int16"}),
    ("resnet20", "resnet20", "bireal", (3, 32, 32), {}),
    ("vgg_small", "vgg_small", "irnet", (3, 32, 32), {}),
    ("vgg_planes", "vgg_small", get_method("dorefa", a_bits=2), (3, 32, 32), {}),
    ("groupnet", "groupnet", "reactnet", (1, 28, 28), {}),
]


def network(name: str, method: MethodLike, image: tuple[int, int, int]) -> torch.nn.Module:
    """Random weights, batch norms with gamma of both signs, statistics of random images."""
    model = models.create(name, num_classes=10, in_channels=image[0], method=method)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, -0.2, 1.0)
            torch.nn.init.normal_(module.bias, std=0.3)
    for _ in range(2):
        model(torch.randn(8, *image))
    return freeze(model.eval())


def answers_of_x86(folder: Path) -> None:
    """Compiles the networks and keeps what the portable kernels of this machine answer."""
    from tests.runtime.golden import write

    for name, family, method, image, options in NETWORKS:
        torch.manual_seed(1)
        onnx, file = folder / f"{name}.onnx", folder / "models" / f"{name}.bwm"
        file.parent.mkdir(exist_ok=True)
        to_onnx(network(family, method, image), torch.randn(2, *image), onnx)
        if options:
            options = {**options, "calibration": torch.randn(32, *image).numpy()}
        compiler.compile(onnx, file, **options)
        print(f"{name}: {file.stat().st_size} bytes", flush=True)
    write(folder / "models", folder / "golden")


def main() -> None:
    if not (ROOT / TESTS).exists():
        sys.exit(f"{TESTS} is missing; run 'make arm-test'")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answers_of_x86(folder)
        command = ["qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu", TESTS, "--gtest_filter=*Golden*"]
        places = {"BITWRIGHT_CORPUS": str(folder / "models"), "BITWRIGHT_GOLDEN": str(folder / "golden")}
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **places}, stdout=subprocess.PIPE, text=True)
        print(done.stdout)
        missing = [row[0] for row in NETWORKS if f"[       OK ] {TEST}/{row[0]} " not in done.stdout]
        if done.returncode != 0 or missing:
            sys.exit(f"not equal, or not run: {', '.join(missing) or done.returncode}")


if __name__ == "__main__":
    main()
