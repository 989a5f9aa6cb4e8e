"""checkpoint -> export -> compile -> inspect, run, verify, profile: the commands in the order of the guide."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bitwright import cli

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network after one epoch on the digits, exported and compiled, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("a folder")
    recipe = Path(__file__).resolve().parents[2] / "recipes" / "digits_cnn.yaml"
    arguments = ["--config", str(recipe), "--run_dir", str(folder / "run"), "--trainer.max_epochs", "1"]
    assert cli.main(["train", *arguments]) == 0
    assert cli.main(["export", str(folder / "run" / "last.ckpt"), "--output", str(folder / "net.onnx")]) == 0
    assert cli.main(["compile", str(folder / "net.onnx"), "--output", str(folder / "net.bwm")]) == 0
    return folder


def test_evaluate_and_run_agree(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The engine's accuracy on raw test pixels is the checkpoint's."""
    from bitwright import data

    assert cli.main(["evaluate", "--ckpt_path", str(trained / "run" / "last.ckpt"), "--json"]) == 0
    top1 = json.loads(capsys.readouterr().out)["top1"]
    images, labels = data.create("digits").split("test")
    pixels = trained / "pixels.npy"
    np.save(pixels, images.numpy()[:, 0])  # uint8 [N, 8, 8] with grey values 0..16
    scores = trained / "scores.npy"
    assert cli.main(["run", str(trained / "net.bwm"), str(pixels), "--json", "--output", str(scores)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    right = np.mean([line["classes"][0]["index"] == int(label) for line, label in zip(lines, labels, strict=True)])
    assert right == pytest.approx(top1, abs=1.01 / len(labels))
    assert np.load(scores).shape == (len(labels), 10)
    assert lines[0]["classes"][0]["class"] in "0123456789"


def test_run_takes_images(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    from bitwright import data

    images, _ = data.create("digits").split("test")
    picture = (images[0, 0].numpy().astype(np.float32) * (255 / 16)).round().astype(np.uint8)
    Image.fromarray(picture).save(trained / "digit.png")
    Image.fromarray(np.kron(picture, np.ones((4, 4), np.uint8))).convert("RGB").save(trained / "large.jpg")
    files = [str(trained / "digit.png"), str(trained / "large.jpg")]
    assert cli.main(["run", str(trained / "net.bwm"), *files, "--top", "3", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["input"] for line in lines] == files
    assert [len(line["classes"]) for line in lines] == [3, 3]


@pytest.mark.parametrize("extra", [[], ["--threads", "2", "--batch", "7"], ["--kernel", "portable", "--limit", "40"]])
def test_verify_against_onnxruntime(trained: Path, extra: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(trained / "net.onnx"), str(trained / "net.bwm"), "--data", "digits", "--json", *extra]
    assert cli.main(["verify", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["samples"] == (40 if "--limit" in extra else 360)


def test_verify_against_pytorch(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = ["--ckpt_path", str(trained / "run" / "last.ckpt")]
    assert cli.main(["verify", str(trained / "net.onnx"), str(trained / "net.bwm"), *checkpoint]) == 0
    assert "ok" in capsys.readouterr().out


def test_inspect_bytes_are_the_files(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(trained / "net.bwm"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    size = (trained / "net.bwm").stat().st_size
    assert report["file_bytes"] == size
    assert sum(report["bytes_by_kind"].values()) == size


def test_profile(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profile", str(trained / "net.bwm"), "--repeats", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert sum(op["share"] for op in report["ops"]) == pytest.approx(1)
    conv = next(op for op in report["ops"] if op["kind"] == "BCONV")
    peak = report["machine"]["arithmetic"][conv["kernel"]]
    assert conv["roofline_ns"] >= conv["macs"] / peak["per_ns"] > 0
    assert conv["mac_per_cycle"] == pytest.approx(conv["macs"] / conv["ns"] / np.mean(report["machine"]["clock_ghz"]))


def test_profile_writes_a_page(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "deep" / "net.html"
    arguments = ["--repeats", "1", "--batch", "2", "--threads", "2", "--html", str(page)]
    assert cli.main(["profile", str(trained / "net.bwm"), *arguments]) == 0
    assert "Clock, by a chain of additions" in capsys.readouterr().out
    text = page.read_text()
    assert cli.main(["profile", str(trained / "net.bwm"), *arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["batch"], report["threads"], report["repeats"]) == (2, 2, 1)
    for op in report["ops"]:
        assert op["layer"] in text
        assert op["kernel"] in text
    assert "http" not in text  # nothing from elsewhere
    assert "<script" not in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wrong.npy", np.zeros((2, 3, 8, 8), np.float32), "1, 8, 8"),
        ("double.npy", np.zeros((2, 1, 8, 8)), "float32"),
        ("pixels.npy", np.zeros((2, 9, 9), np.uint8), "8,8"),
        ("text.png", b"not a picture", "not an image"),
        ("broken.npy", b"\x93NUMPY\x01", "not a readable .npy"),
    ],
)
def test_bad_inputs(
    trained: Path, tmp_path: Path, name: str, content: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    assert cli.main(["run", str(trained / "net.bwm"), str(path)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err.replace("'N', ", "")
    assert "Traceback" not in captured.err


def test_damaged_model(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (trained / "net.bwm").read_bytes()
    short = tmp_path / "short.bwm"
    short.write_bytes(data[: len(data) // 2])
    for verb in (["inspect", str(short)], ["run", str(short), "x.npy"], ["profile", str(short)]):
        assert cli.main(verb) == 2
        error = capsys.readouterr().err
        assert "short.bwm" in error or "bytes" in error
        assert "Traceback" not in error
