"""The GPU scripts list what they would run without a GPU, and say what is missing where one is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitwright.tune import Config, Problem, Space
from bitwright.tune.cuda import model
from bitwright.tune.history import History

from .emulated_gpu import EmulatedGpu
from .harness import needs_compiler
from .test_emulated_b1 import mma

SCRIPTS = Path(__file__).resolve().parents[3] / "benchmarks" / "gpu"
SOURCE = SCRIPTS.parents[1] / "src"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_dry_run(tmp_path: Path) -> None:
    done = run("sh", str(SCRIPTS / "run_all.sh"), "--dry-run", "--device", "h100", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "candidates on h100" in done.stdout
    assert "builds on h100" in done.stdout
    assert "8 of 8 steps ended well" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["correctness", "peaks", "sweep", "layers", "gemv", "networks"])
def test_without_a_gpu(script: str, tmp_path: Path) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("there is a GPU")
    done = run(sys.executable, str(SCRIPTS / f"{script}.py"), "--results", str(tmp_path))
    assert done.returncode != 0
    assert "bitwright[cuda]" in done.stderr or "no CUDA device 0" in done.stderr


@needs_compiler
def test_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison with the emulator in the GPU's place: who takes part, and that ratios are of the same unit."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from rivals import compared, ratios, rivals

    problem, device = Problem("gemm", 40, 72, 300), model("orin")
    configs = (mma(), Config.of("torch_dense", {"type": "s8"}), Config.of("torch_dense", {"type": "f16"}))
    space = Space(problem, device, configs, 0, ())
    who = rivals(space, History({config: [float(1 + i)] for i, config in enumerate(configs)}))
    assert {name: config.template for name, config in who.items()} == {
        "ours": "mma_b1",
        "dense": "torch_dense",
        "cutlass_default": "cutlass_b1",
    }
    assert who["dense"]["type"] == "s8"
    del who["cutlass_default"]  # its emulation is test_emulated_cutlass's
    report = compared(problem, device, EmulatedGpu(1e-6, 3e-6), who, repeats=1)
    assert report["us"]["dense"] == 3.0
    assert report["faster"]["dense"] == round(3.0 / report["us"]["ours"], 3)
    assert report["layer_us"]["ours"] > report["us"]["ours"], "packing belongs to the layer"
    assert report["layer_us"]["dense"] > report["us"]["dense"], "so does the scale"
    assert json.loads(json.dumps(report)) == report
    assert ratios({"dense": 1.0}) == {}
