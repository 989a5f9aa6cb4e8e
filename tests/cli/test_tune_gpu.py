"""`bitwright tune --device`: what would run where, and one clear error where there is no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bitwright import compiler, export, models
from bitwright.cli import main
from bitwright.cli._products import products_of
from bitwright.export.cuda.tuning import problems_of


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, torch.nn.Module]:
    torch.manual_seed(0)
    frozen = export.freeze(models.create("resnet18", method="bireal", num_classes=10).eval())
    folder = tmp_path_factory.mktemp("gpu")
    export.to_onnx(frozen, torch.zeros(1, 3, 64, 64), folder / "net.onnx")
    compiler.compile(folder / "net.onnx", folder / "net.bwm")
    return str(folder / "net.bwm"), frozen


def test_a_compiled_model_asks_for_what_the_frozen_one_does(net: tuple[str, torch.nn.Module]) -> None:
    path, frozen = net
    found, refused = products_of(path, 4)
    assert found == problems_of(frozen, torch.zeros(4, 3, 64, 64))
    assert sum(found.values()) == 16
    assert not refused


def test_dry_run(net: tuple[str, torch.nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", net[0], "--device", "h100", "--dry-run", "--store", str(tmp_path), "--batch", "2"]) == 0
    text = capsys.readouterr().out
    assert "wgmma_b1" in text
    assert "default" in text
    assert "conv2d 512x64x576" in text


def test_without_a_gpu(net: tuple[str, torch.nn.Module], capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["tune", net[0], "--device", "cuda:0"]) != 0
    text = capsys.readouterr().err
    assert "no CUDA device 0 can be used" in text or "bitwright[cuda]" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--device", "h100"], "cuda:0"), (["--device", "h9", "--dry-run"], "unknown GPU 'h9'")]
)
def test_wrong_devices(
    net: tuple[str, torch.nn.Module], arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", net[0], *arguments]) != 0
    assert words in capsys.readouterr().err
