"""BNN-PYNQ parameter files: folded by a writer of the tests, unfolded by the importer, run against integers."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bitwright import compiler, importers
from bitwright.importers import ImportModelError
from bitwright.runtime import Session

from .samples import PRETRAINED, cifar10_test, cifar10_train, mnist, needs_data, top

LFC = ((1024, 832, 32, 64), (1024, 1024, 64, 32), (1024, 1024, 32, 64), (64, 1024, 16, 8))
CNV = ((64, 27, 16, 3), (64, 576, 32, 32), (128, 576, 16, 32), (128, 1152, 16, 32), (256, 1152, 4, 32),
       (256, 2304, 1, 32), (512, 256, 1, 4), (512, 512, 1, 8), (64, 512, 4, 1))  # fmt: skip
Layers = list[tuple[np.ndarray, np.ndarray]]


def fold(signs: np.ndarray, thresholds: np.ndarray | None, layer: int, elements: int, simd: int) -> dict[str, bytes]:
    """The files of one layer, row by row and word by word."""
    files = {}
    for pe in range(elements):
        groups = np.concatenate([row.reshape(-1, simd) for row in signs[pe::elements]]).astype(np.uint64)
        words = np.zeros(len(groups), np.uint64)
        for j in range(simd):
            words += groups[:, j] << np.uint64(j)
        files[f"{layer}-{pe}-weights.bin"] = words.astype("<u8").tobytes()
        if thresholds is not None:
            files[f"{layer}-{pe}-thres.bin"] = thresholds[pe::elements].astype("<i8").tobytes()
    return files


def network(shape: tuple[tuple[int, int, int, int], ...], seed: int) -> tuple[dict[str, bytes], Layers]:
    """A random network that keeps its activations balanced, with the padding columns of LFC as +1 or -1."""
    rng = np.random.default_rng(seed)
    files: dict[str, bytes] = {"classes.txt": b"a\r\nb\r\nc\r\n"}
    layers: Layers = []
    for i, (rows, columns, elements, simd) in enumerate(shape):
        signs = rng.random((rows, columns)) < 0.5
        middle = 0 if columns == 27 else columns // 2
        thresholds = middle + rng.integers(-columns // 16 - 1, columns // 16 + 2, rows)
        if columns == 27:
            thresholds = rng.integers(-600, 600, rows)
        last = i == len(shape) - 1
        stored = None if last and shape is CNV else thresholds
        files |= fold(signs, stored, i, elements, simd)
        layers.append((signs, thresholds if stored is not None else np.zeros(rows, np.int64)))
    return files, layers


def count(bits: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Equal signs of every sample and row."""
    x, w = bits * 2 - 1, signs.astype(np.int64) * 2 - 1
    return (x @ w.T + signs.shape[1]) // 2


def run_lfc(layers: Layers, images: np.ndarray) -> np.ndarray:
    bits = np.pad((images.reshape(len(images), -1) >= 128).astype(np.int64), ((0, 0), (0, 48)))
    for signs, thresholds in layers:
        above = count(bits, signs) - thresholds
        bits = (above > 0).astype(np.int64)
    return above


def run_cnv(layers: Layers, images: np.ndarray) -> np.ndarray:
    x = images.astype(np.int64).transpose(0, 2, 3, 1) - 128
    for i, (signs, thresholds) in enumerate(layers):
        if i < 6:
            view = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))  # [N, H, W, C, 3, 3]
            rows = view.transpose(0, 1, 2, 4, 5, 3).reshape(*view.shape[:3], -1)
        else:
            rows = x.reshape(len(x), -1)
        if i == 0:
            x = (2 * (rows @ (signs.astype(np.int64) * 2 - 1).T) > thresholds).astype(np.int64)
        elif i == len(layers) - 1:
            return count(rows, signs)
        else:
            x = (count(rows, signs) > thresholds).astype(np.int64)
        if i in (1, 3):
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))
    raise AssertionError


def to_tar(files: dict[str, bytes], prefix: str = "bnn/params/net/") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def to_folder(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(("shape", "run", "size"), [(LFC, run_lfc, (1, 28, 28)), (CNV, run_cnv, (3, 32, 32))])
def test_a_network_equals_its_integers(tmp_path: Path, shape: object, run: object, size: tuple[int, ...]) -> None:
    files, layers = network(shape, 3)  # type: ignore[arg-type]
    images = np.random.default_rng(4).integers(0, 256, (6, *size))
    images[0], images[1] = 0, 255
    wanted = run(layers, images)[:, :3]  # type: ignore[operator]
    imported = importers.load(to_folder(files, tmp_path / "net" / "params"))
    assert imported.format == "bnn_pynq"
    x = images.astype(np.float32)
    session = onnxruntime.InferenceSession(imported.model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"image": x})[0], wanted)
    compiler.compile(imported.model, tmp_path / "net.bwm")
    assert np.array_equal(np.asarray(Session(tmp_path / "net.bwm").run(x)), wanted)


def test_folder_and_archives_give_the_same_model(tmp_path: Path) -> None:
    files, _ = network(LFC, 1)
    tar = to_tar(files)
    paths = [to_folder(files, tmp_path / "params")]
    for name, content in (("a", tar), ("b", gzip.compress(tar)), ("c", lzma.compress(tar))):
        (tmp_path / name).write_bytes(content)
        paths.append(tmp_path / name)
    models = []
    for path in paths:
        imported = importers.load(path)
        assert imported.format == "bnn_pynq"
        kept = {p.key: p.value for p in imported.model.metadata_props}
        assert json.loads(kept["bitwright.input"])["classes"] == ["a", "b", "c"]
        del imported.model.metadata_props[:]
        models.append((imported.model, kept["import.sha256"]))
    assert all(m == models[0] for m in models)


def test_any_folding_gives_the_same_matrix(tmp_path: Path) -> None:
    """Another number of processing elements and words of another width hold the same network."""
    first, layers = network(LFC, 2)
    other = {"classes.txt": first["classes.txt"]}
    for i, ((signs, thresholds), (elements, simd)) in enumerate(
        zip(layers, ((8, 52), (128, 16), (1, 64), (64, 1)), strict=True)
    ):
        other |= fold(signs, thresholds, i, elements, simd)
    models = [importers.load(to_folder(f, tmp_path / n)).model for f, n in ((first, "first"), (other, "other"))]
    for model in models:
        del model.metadata_props[:]
    assert models[0] == models[1]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    files, _ = network(LFC, 1)
    cases = [
        ({**files, "1-3-thres.bin": None}, "1-3-thres.bin is missing; 1-63-thres.bin is there"),
        ({**files, "3-15-weights.bin": None}, "layer 3: 15 files of 512 words"),
        ({**files, "0-0-weights.bin": b"x" * 12}, "must be equally long, in words of 8"),
        ({**files, "classes.txt": b"\n".join(b"%d" % i for i in range(70))}, "classes.txt names 70 classes"),
        ({**files, "1-0-weights.bin": b"\xff" * 4096}, "layer 1: words have more than 32 bits"),
        ({**files, "4-0-weights.bin": bytes(8)}, r"layers \[0, 1, 2, 3, 4\] .* no network that is known"),
        ({n: c for n, c in files.items() if not n.startswith("0-")}, "are no network that is known"),
        ({**files, **{f"0-{p}-thres.bin": np.full(32, 1 << 40).tobytes() for p in range(32)}}, "hardware has 24 bits"),
    ]
    for i, (broken, said) in enumerate(cases):
        folder = to_folder({n: c for n, c in broken.items() if c is not None}, tmp_path / str(i))
        with pytest.raises(ImportModelError, match=said):
            importers.load(folder, format="bnn_pynq")


def test_two_networks_in_one_folder(tmp_path: Path) -> None:
    files, _ = network(LFC, 1)
    to_folder(files, tmp_path / "both" / "mnist")
    to_folder(files, tmp_path / "both" / "digits")
    with pytest.raises(ImportModelError, match=r"holds two files .*; give the folder of one network"):
        importers.load(tmp_path / "both")


def test_bombs_and_damaged_archives(tmp_path: Path) -> None:
    """Memory stays bounded: an archive is never unpacked beyond its limit."""
    files, _ = network(LFC, 1)
    bomb = to_tar({"0-0-weights.bin": bytes(70 << 20)})
    for name, content in (("xz", lzma.compress(bomb, preset=0)), ("gz", gzip.compress(bomb, 1))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImportModelError, match="unpacks to over 64 MiB"):
            importers.load(tmp_path / name)
    whole = lzma.compress(to_tar(files), preset=0)
    path = tmp_path / "net.tar.xz"
    rng = np.random.default_rng(0)
    for at in rng.integers(1, len(whole), 25).tolist():
        path.write_bytes(whole[:at])
        with pytest.raises(ImportModelError):
            importers.load(path)
        data = bytearray(whole)
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        with pytest.raises(ImportModelError):
            importers.load(path)
    plain = bytearray(to_tar(files))
    for at in rng.integers(0, len(plain), 40).tolist():
        data = bytearray(plain)
        data[at // 512 * 512 + int(rng.integers(300))] ^= 0xFF  # headers, mostly
        path.write_bytes(bytes(data))
        try:
            importers.load(path, format="bnn_pynq")
        except ImportModelError:
            continue


@needs_data
def test_lfc_on_mnist(tmp_path: Path) -> None:
    """98.4 % of the 10,000 test images by the rule of the accelerator's host code: the last bit that is set."""
    imported = importers.load(PRETRAINED / "bnn-pynq" / "mnist_lfcW1A1.tar.xz")
    compiler.compile(imported.model, tmp_path / "net.bwm")
    x, y = mnist(10_000)
    scores = np.asarray(Session(tmp_path / "net.bwm").run(x))
    bits = scores > 0
    highest = np.where(bits.any(1), 9 - bits[:, ::-1].argmax(1), 0)
    assert (highest == y).sum() == 9840
    assert top(scores, y) == 9834


@needs_data
def test_cnv_on_cifar10(tmp_path: Path) -> None:
    imported = importers.load(PRETRAINED / "bnn-pynq" / "cifar10_cnvW1A1.tar.xz")
    compiler.compile(imported.model, tmp_path / "net.bwm")
    session = Session(tmp_path / "net.bwm")
    x, y = cifar10_test(100)
    assert top(np.asarray(session.run(x)), y) == 750
    x, y = cifar10_train(1000)
    assert top(np.asarray(session.run(x)), y) == 981
    ort = onnxruntime.InferenceSession(imported.model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(ort.run(None, {"image": x[:50]})[0], np.asarray(session.run(x[:50])))


@needs_data
def test_road_signs_names_its_classes() -> None:
    imported = importers.load(PRETRAINED / "bnn-pynq" / "road-signs_cnvW1A1.tar.xz")
    kept = {p.key: p.value for p in imported.model.metadata_props}
    classes = json.loads(kept["bitwright.input"])["classes"]
    assert len(classes) == 44
    assert classes[14] == "Stop"
