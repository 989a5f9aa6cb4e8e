"""MNIST in its original files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bitwright.data.facts import DatasetFacts
from bitwright.data.idx import read_idx_gz
from bitwright.data.module import ImageData
from bitwright.data.registry import register_dataset
from bitwright.data.root import RemoteFile, fetch

# yann.lecun.com no longer serves the files reliably; the first address is the mirror that PyTorch keeps. Whatever
# comes must have the published MD5.
_HOSTS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")


def idx_files(hosts: tuple[str, ...], checksums: dict[str, str]) -> dict[str, RemoteFile]:
    """The four files of an MNIST-like set, by role."""
    names = {
        "train-images": "train-images-idx3-ubyte.gz",
        "train-labels": "train-labels-idx1-ubyte.gz",
        "test-images": "t10k-images-idx3-ubyte.gz",
        "test-labels": "t10k-labels-idx1-ubyte.gz",
    }
    return {
        role: RemoteFile(name, f"md5:{checksums[role]}", tuple(host + name for host in hosts))
        for role, name in names.items()
    }


def read_idx_set(folder: Path, files: dict[str, RemoteFile], what: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Both splits of an MNIST-like set: images uint8 [N, 1, 28, 28], labels int64 [N]."""
    arrays = {role: read_idx_gz(fetch(folder, file, what)) for role, file in files.items()}
    return {
        part: (arrays[f"{part}-images"][:, None], arrays[f"{part}-labels"].astype(np.int64))
        for part in ("train", "test")
    }


@register_dataset
class Mnist(ImageData):
    """MNIST (LeCun, Cortes, Burges 1998): 60,000 / 10,000 handwritten digits, 28x28 grey."""

    facts = DatasetFacts(
        name="mnist",
        title="MNIST (10,000 test images)",
        classes=tuple(str(n) for n in range(10)),
        shape=(1, 28, 28),
        train=60000,
        test=10000,
        mean=(0.1307,),
        std=(0.3081,),
        licence="CC BY-SA 3.0",
        source="http://yann.lecun.com/exdb/mnist/",
    )
    files = idx_files(
        _HOSTS,
        {
            "train-images": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels": "d53e105ee54ea40749a09fcbcd1e9432",
            "test-images": "9fb629c4189551a2d022fa330f9573f3",
            "test-labels": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    )

    def read(self, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return read_idx_set(folder, self.files, "MNIST")
