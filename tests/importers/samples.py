"""Real images in front of real models; a test that needs them is skipped without BITWRIGHT_DATA."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

DATA = Path(os.environ.get("BITWRIGHT_DATA", "/nonexistent"))
PRETRAINED = DATA / "pretrained"
needs_data = pytest.mark.skipif(not PRETRAINED.is_dir(), reason="needs pretrained models under BITWRIGHT_DATA")
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
Images = tuple[np.ndarray, np.ndarray]


def mnist(count: int) -> Images:
    """The first test images [N, 1, 28, 28], 0 to 255, and labels."""
    pixels = gzip.decompress((DATA / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((DATA / "mnist/t10k-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(pixels, np.uint8, count * 784, 16).reshape(-1, 1, 28, 28)
    return x.astype(np.float32), np.frombuffer(labels, np.uint8, count, 8)


def cifar10_train(count: int) -> Images:
    """The first training images, lossless: [N, 3, 32, 32], 0 to 255."""
    raw = lzma.decompress((DATA / "cifar10/data_batch_1_first4000.bin.xz").read_bytes())
    records = np.frombuffer(raw, np.uint8, count * 3073).reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32), records[:, 0]


def cifar10_test(per_class: int) -> Images:
    """The first test images of every class, from the JPEG copy."""
    image = pytest.importorskip("PIL.Image")
    x, y = [], []
    with tarfile.open(DATA / "cifar10/cifar10_jpeg_test.tar.xz") as archive:
        for member in archive:
            parts = member.name.split("/")
            if member.isfile() and int(parts[-1].split(".")[0]) < per_class:
                file = archive.extractfile(member)
                assert file is not None
                x.append(np.asarray(image.open(io.BytesIO(file.read())).convert("RGB")).transpose(2, 0, 1))
                y.append(CIFAR10.index(parts[-2]))
    return np.stack(x).astype(np.float32), np.array(y)


def imagenet(count: int = 125) -> Images:
    """Short side 256 (bilinear), centre crop 224, RGB 0 to 255."""
    image = pytest.importorskip("PIL.Image")
    rows = (DATA / "imagenet-samples/imagenet_classes.tsv").read_text().splitlines()
    classes = {row.split("\t")[1]: int(row.split("\t")[0]) for row in rows if row[:1].isdigit()}
    x, y = [], []
    with tarfile.open(DATA / "imagenet-samples/imagenet_samples_125.tar") as archive:
        for member in [m for m in archive if m.isfile()][:count]:
            file = archive.extractfile(member)
            assert file is not None
            picture = image.open(io.BytesIO(file.read())).convert("RGB")
            scale = 256 / min(picture.size)
            picture = picture.resize([round(side * scale) for side in picture.size], image.Resampling.BILINEAR)
            left, top = ((side - 224) // 2 for side in picture.size)
            x.append(np.asarray(picture.crop((left, top, left + 224, top + 224))).transpose(2, 0, 1))
            y.append(classes[member.name.split("/")[-1].split("_")[0]])
    return np.stack(x).astype(np.float32), np.array(y)


def top(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> int:
    """How many labels are among the k best."""
    return int((np.argsort(-scores, axis=1)[:, :k] == labels[:, None]).any(1).sum())
