"""`bitwright compile --float-layers int8 --residual int16 --input uint8 --calibrate ...`, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.compiler.graphs import Builder

from bitwright import cli

pytest.importorskip("bitwright.runtime", reason="the native module is not built")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A residual network of digits: [N, 1, 8, 8] to ten numbers, without metadata."""
    b = Builder((1, 8, 8), seed=3)
    x = b.conv("x", 1, 16, pads=[1, 1, 1, 1])
    y = b.batch_norm(b.bconv(x, 16, 16, pads=(1, 1, 1, 1), scale=0.05), 16)
    y = b.op("Add", y, x)
    y = b.op("Add", b.bconv(y, 16, 16, pads=(1, 1, 1, 1), scale=0.05), y)
    y = b.op("Flatten", b.op("GlobalAveragePool", y))
    model = b.model(b.op("Gemm", y, b.const(b.normal(10, 16)), b.const(b.normal(10)), transB=1))
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path


def samples(n: int = 40) -> Any:
    return np.random.default_rng(0).standard_normal((n, 1, 8, 8)).astype(np.float32)


def compiled(net: Path, *options: str) -> int:
    return cli.main(["compile", str(net / "net.onnx"), "--output", str(net / "net.bwm"), *options])


def inspected(net: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main(["inspect", str(net / "net.bwm"), "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_from_a_file(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(net / "x.npy", samples())
    options = ["--float-layers", "int8", "--residual", "int16", "--calibrate", str(net / "x.npy"), "--samples", "30"]
    assert compiled(net, *options) == 0
    out = capsys.readouterr().out
    assert "int8 layers, calibrated on 30 samples" in out
    assert "int16 residual streams" in out
    assert "on 10 held-out samples: same class on" in out
    report = inspected(net, capsys)
    assert report["quantization"]["accuracy"]["samples"] == 10
    assert {layer["kind"] for layer in report["layers"]} >= {"QConv", "BConv"}
    np.save(net / "y.npy", samples(20))
    arguments = [str(net / "net.onnx"), str(net / "net.bwm"), "--inputs", str(net / "y.npy")]
    assert cli.main(["verify", *arguments]) == 0
    out = capsys.readouterr().out
    assert "its integer reference" in out
    assert "outputs identical on 20" in out
    assert "no verdict" in out
    assert cli.main(["verify", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"]["samples"] == 20


def test_labels(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(net / "x.npz", x=samples(), labels=np.arange(40) % 10)
    assert compiled(net, "--float-layers", "int8", "--calibrate", str(net / "x.npz")) == 0
    assert "on 10 held-out samples: top-1" in capsys.readouterr().out


def test_from_a_data_set_with_pixels(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Raw pixels of the digits, whose white is 16."""
    from bitwright import data

    options = ["--float-layers", "int8", "--input", "uint8", "--mean", "[0.3]", "--std", "[0.37]", "--maximum", "16"]
    assert compiled(net, *options, "--calibrate", "digits", "--samples", "64", "--evaluate", "50") == 0
    assert "on 50 held-out samples: top-1" in capsys.readouterr().out
    report = inspected(net, capsys)
    assert report["inputs"][0]["dtype"] == "u8"
    assert report["layers"][0]["kind"] == "QConv"
    verify = ["verify", str(net / "net.onnx"), str(net / "net.bwm"), "--data", "digits", "--limit", "20", "--json"]
    assert cli.main(verify) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["outputs_equal"] == 20
    assert checked["source"]["rms_error"] < 0.2
    images = data.create("digits").split("test")[0][:5].numpy()
    for name, x in (("chw", images), ("hw", images[:, 0])):
        np.save(net / f"{name}.npy", x)
        assert (
            cli.main(["run", str(net / "net.bwm"), str(net / f"{name}.npy"), "--output", str(net / f"{name}_y.npy")])
            == 0
        )
    np.testing.assert_array_equal(np.load(net / "chw_y.npy"), np.load(net / "hw_y.npy"))
    assert cli.main(["profile", str(net / "net.bwm"), "--repeats", "2"]) == 0
    capsys.readouterr()
    np.save(net / "f.npy", images.astype(np.float32))
    assert cli.main(["run", str(net / "net.bwm"), str(net / "f.npy")]) == 2
    assert "takes uint8 pixels" in capsys.readouterr().err
    assert cli.main([*verify[:3], "--inputs", str(net / "f.npy")]) == 2
    assert "takes uint8 pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((4, 1, 8, 7), np.float32), "is expected"),
        (np.zeros((0, 1, 8, 8), np.float32), "there are no calibration samples"),
        (np.full((4, 1, 8, 8), np.nan, np.float32), "hold NaN or infinity"),
        (np.zeros((4, 1, 8, 8), np.int64), "int64; float32 is expected"),
        (np.float32(3), "holds no arrays of samples"),
        (b"not an array", "not a readable .npy"),
    ],
)
def test_bad_files(net: Path, content: Any, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = net / "bad.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    assert compiled(net, "--float-layers", "int8", "--calibrate", str(path)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (net / "net.bwm").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--float-layers", "int8"], "need calibration samples"),
        (["--residual", "int16"], "need calibration samples"),
        (["--float-layers", "int4"], "known are fp32, int8"),
        (["--residual", "int8"], "known are fp32, int16"),
        (["--float-layers", "int8", "--calibrate", "missing.npy"], "missing.npy: no such file"),
        (["--float-layers", "int8", "--calibrate", "nosuchset"], "unknown data set 'nosuchset'"),
        (["--float-layers", "int8", "--calibrate", "digits", "--samples", "0"], "at least 1"),
        (["--input", "uint8"], "nothing says how pixels become"),
        (["--input", "int8"], "known are fp32, uint8"),
        (["--input", "uint8", "--mean", "[0.5]"], "both --mean and --std"),
        (["--input", "uint8", "--mean", "[0.5,0.5]", "--std", "[1,1]"], "the model's input has 1 channels"),
        (["--mean", "[0.5]", "--std", "[1]"], "uint8"),
        (["--calibrate", "digits"], "nothing is quantized"),
    ],
)
def test_bad_options(net: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compiled(net, *options) == 2
    error = capsys.readouterr().err
    assert message in error, error
    assert "Traceback" not in error
    assert not (net / "net.bwm").exists()


def test_wrong_labels(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(net / "x.npz", x=samples(), labels=np.arange(39))
    assert compiled(net, "--float-layers", "int8", "--calibrate", str(net / "x.npz")) == 2
    assert "different numbers of samples: [39, 40]" in capsys.readouterr().err
