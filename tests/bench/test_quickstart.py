"""The quickstart from images to page, with two epochs of training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitwright import cli


@pytest.mark.slow
def test_quickstart_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a folder"
    for _ in range(2):  # the second run overwrites the first
        assert cli.main(["quickstart", "--folder", str(folder), "--epochs", "2"]) == 0
    text = capsys.readouterr().out
    assert "PyTorch, onnxruntime and engine agree" in text
    result = json.loads((folder / "result.json").read_text())
    assert result["verified"] is True
    assert result["images"] == 360
    assert [a["same_class"] for a in result["agreement"]] == [1.0] * 4
    assert result["bwm_bytes"] == (folder / "net.bwm").stat().st_size
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert "stages.0.0.0.conv" in page


def test_unknown_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["quickstart", "--folder", str(tmp_path), "--recipe", "no-such.yaml"]) == 2
    assert "no-such.yaml" in capsys.readouterr().err
