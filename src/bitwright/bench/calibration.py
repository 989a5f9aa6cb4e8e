"""Samples for `bitwright compile --calibrate`: from a file, or from a data set's own training and test images."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = ("labels", "y")


@dataclass(frozen=True)
class CalibrationData:
    """What `compiler.compile` takes: samples to calibrate with, other samples to compare on, their classes."""

    calibration: Any
    evaluation: Any = None
    labels: NDArray[Any] | None = None


def load_calibration(
    source: str, samples: int, evaluate: int, *, root: str | None = None, pixels: bool = False
) -> CalibrationData:
    """Samples from a file or a data set.

    Args:
        source: a `.npy` file (an array [N, ...] as the model takes it), a `.npz` file (arrays named as the model's
            inputs, or one array of any name; `labels` or `y` are classes), or the name of a data set: its training
            images calibrate, its test images and labels compare.
        samples: how many calibrate. A file's other samples compare; if there are no others, the compiler holds some
            of them out.
        evaluate: how many compare, at most.
        root: where the data sets lie.
        pixels: the model takes uint8 pixels.

    Raises:
        FileNotFoundError, ValueError: with the path and what would be right.
    """
    if samples < 1 or evaluate < 1:
        raise ValueError(f"--samples and --evaluate are at least 1, got {samples} and {evaluate}")
    path = Path(source)
    if path.suffix.lower() in (".npy", ".npz") or path.exists():
        return _from_file(path, samples, evaluate)
    return _from_dataset(source, samples, evaluate, root, pixels)


def _from_file(path: Path, samples: int, evaluate: int) -> CalibrationData:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable .npy or .npz file ({error})") from error
    labels = next((arrays.pop(k) for k in LABELS if k in arrays), None)
    if not arrays or any(a.ndim == 0 for a in arrays.values()):
        raise ValueError(f"{path}: holds no arrays of samples [N, ...]")
    counts = {len(a) for a in arrays.values()} | ({len(labels)} if labels is not None and labels.ndim else set())
    if len(counts) > 1:
        raise ValueError(f"{path}: its arrays have different numbers of samples: {sorted(counts)}")
    whole: Any = next(iter(arrays.values())) if len(arrays) == 1 else arrays
    n = counts.pop()
    if n > samples:
        rest = slice(samples, samples + evaluate)
        return CalibrationData(_cut(whole, slice(samples)), _cut(whole, rest), None if labels is None else labels[rest])
    if labels is None or n < 2:
        return CalibrationData(whole)
    at = n - max(1, n // 4)
    return CalibrationData(_cut(whole, slice(at)), _cut(whole, slice(at, None)), labels[at:])


def _cut(arrays: Any, part: slice) -> Any:
    return {k: a[part] for k, a in arrays.items()} if isinstance(arrays, dict) else arrays[part]


def _from_dataset(name: str, samples: int, evaluate: int, root: str | None, pixels: bool) -> CalibrationData:
    from bitwright import data

    module = data.create(name, root=root)
    images, _ = module.split("train")
    step = max(1, len(images) // samples)  # spread over the whole set: it may be sorted by class
    tests, labels = module.split("test")
    chosen, held_out = images[::step][:samples], tests[:evaluate]
    if not pixels:
        chosen, held_out = module.normalize(chosen), module.normalize(held_out)
    return CalibrationData(chosen.numpy(), held_out.numpy(), labels[:evaluate].numpy())


__all__ = ["CalibrationData", "load_calibration"]
