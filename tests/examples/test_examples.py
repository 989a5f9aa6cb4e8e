"""The examples run as they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_own_network(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "own_network.py"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "same class as PyTorch: 100.00%" in result.stdout
    right = float(result.stdout.split("engine: ")[1].split("%")[0])
    assert right > 90, "eight epochs on the digits are enough for that"
