"""The GPU scripts list what they would run without a GPU, and say what is missing where one is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert not list(tmp_path.iterdir())


def test_without_a_gpu() -> None:
    done = run(sys.executable, str(SCRIPTS / "correctness.py"), "--builds", "1", "--results", os.devnull)
    if done.returncode == 0:
        pytest.skip("there is a GPU")
    assert "bitwright[cuda]" in done.stderr or "no CUDA device 0" in done.stderr
