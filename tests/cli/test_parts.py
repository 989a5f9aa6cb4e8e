"""The verbs on a model that runs partly in onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.compiler.test_partition import last, mixed

from bitwright import cli


@pytest.fixture
def files(tmp_path: Path) -> Path:
    b = mixed()
    onnx.save(b.model(last(b)), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", b.normal(6, 3, 8, 8))
    return tmp_path


def test_the_way_of_a_model(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, inputs = (str(files / name) for name in ("net.onnx", "net.bwm", "x.npy"))
    assert cli.main(["compile", source, "--output", target, "--native-only"]) == 2
    refused = capsys.readouterr().err
    assert refused.count("Softmax node") == 2
    assert not (files / "net.bwm").exists()
    assert cli.main(["compile", source, "--output", target]) == 0
    text = capsys.readouterr().out
    assert "Nodes: 6 native, 2 onnxruntime. 4 parts; 3 tensors are copied" in text
    assert "Softmax (2 nodes): the engine has no such operator." in text
    assert cli.main(["inspect", target, "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert [n["place"] for n in nodes].count("onnxruntime") == 2
    assert all(n["by"] and n["why"] for n in nodes)
    assert cli.main(["inspect", target]) == 0
    assert "Parts, in the order in which they run" in capsys.readouterr().out
    assert cli.main(["run", target, inputs]) == 0
    assert capsys.readouterr().out.count("x.npy[") == 6
    assert cli.main(["verify", source, target, "--inputs", inputs]) == 0
    assert "Verdict: ok" in capsys.readouterr().out
    assert cli.main(["profile", target, "--repeats", "2", "--html", str(files / "page.html")]) == 0
    assert "copied in" in capsys.readouterr().out
    assert "onnxruntime: Softmax" in (files / "page.html").read_text()
    assert cli.main(["profile", target, "--repeats", "2", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert [p["boundary_copies"] for p in parts] == [0, 1, 1, 1]


def test_a_model_that_runs_in_onnxruntime_as_a_whole(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.compiler.graphs import Builder

    b = Builder((3, 4, 4))
    onnx.save(b.model(b.op("Celu", "x")), files / "a.onnx")
    target = str(files / "a.bwm")
    assert cli.main(["compile", str(files / "a.onnx"), "--output", target]) == 0
    for argv in (["profile", target, "--repeats", "1"], ["inspect", target], ["profile", target, "--json"]):
        assert cli.main(argv) == 0
    assert "as a whole" in capsys.readouterr().out
