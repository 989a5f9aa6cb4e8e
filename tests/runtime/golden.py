"""Writes what the corpus' models answer: `python -m tests.runtime.golden [CORPUS GOLDEN]` (from the checkout's root).

``native/tests/golden/<model>.golden`` holds the inputs of a batch and the outputs of the portable kernels, array after
array, little-endian. The native tests compare every kernel of every machine with it, so that a model answers the same
on AArch64 (under qemu-user) as here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bitwright.runtime import Session, TensorInfo

ROOT = Path(__file__).parents[2]
CORPUS, GOLDEN = ROOT / "native/fuzz/corpus", ROOT / "native/tests/golden"
BATCH = 5


def batch(info: TensorInfo, random: np.random.Generator) -> np.ndarray:
    """Numbers whose sums are exact in any order, ids that every table has."""
    shape = (BATCH, *(int(d) for d in info.shape[1:]))
    if info.dtype == np.float32:
        return (random.integers(-256, 257, shape) / 64).astype(np.float32)
    if info.dtype == np.uint8:
        return random.integers(0, 256, shape).astype(np.uint8)
    return random.integers(0, 2, shape).astype(info.dtype)


def answers(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Inputs of a model, and what the portable kernels make of them."""
    session = Session(path, kernel="portable")
    random = np.random.default_rng(len(path.name))
    inputs = [batch(info, random) for info in session.inputs]
    outputs = session.run(*inputs)
    return inputs, outputs if isinstance(outputs, list) else [outputs]


def golden(path: Path) -> bytes:
    return b"".join(a.astype(a.dtype.newbyteorder("<")).tobytes() for arrays in answers(path) for a in arrays)


def write(corpus: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(corpus.glob("*.bwm")):
        (folder / path.name).with_suffix(".golden").write_bytes(golden(path))


if __name__ == "__main__":
    folders = [Path(a) for a in sys.argv[1:]] or [CORPUS, GOLDEN]
    write(*folders)
