"""Inputs for a compiled network: images and arrays prepared as in training, or random ones."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bitwright.runtime import Session


def random_inputs(session: Session, batch: int, seed: int = 0) -> list[NDArray[Any]]:
    """Standard normal samples (pixels: uniform bytes; ids: below 2) for every input of a session, from a seed."""
    if batch < 1:
        raise ValueError(f"batch = {batch}, must be 1 or more")
    generator = np.random.default_rng(seed)
    result: list[NDArray[Any]] = []
    for info in session.inputs:
        free = [d for d in info.shape[1:] if not isinstance(d, int)]
        if free:
            raise ValueError(f"input {info.name!r} has the shape {list(info.shape)}: {free} have no fixed size")
        first = info.shape[:1]
        shape = [batch if isinstance(d, str) else d for d in first] + [int(d) for d in info.shape[1:]]
        if info.dtype.kind == "f":
            result.append(generator.standard_normal(shape, dtype=np.float32).astype(info.dtype, copy=False))
        elif info.dtype == np.uint8:
            result.append(generator.integers(0, 256, shape, dtype=np.uint8))
        elif info.dtype.kind in "iub":
            result.append(generator.integers(0, 2, shape, dtype=np.int32).astype(info.dtype, copy=False))
        else:
            raise ValueError(f"input {info.name!r} is {info.dtype}: no random inputs of that kind")
    return result


@dataclass(frozen=True)
class InputPreparation:
    """How pixels become a network's input: resize, scale to [0, 1], subtract the mean, divide by the deviation.

    Attributes:
        shape: [C, H, W] of one sample, or None if the network's input is not an image.
        mean, std: one a channel, of pixels scaled to [0, 1].
        maximum: the pixel value of the data set's own uint8 arrays that becomes 1 (images always have 255).
        classes: names of the classes, or empty.
        raw: the network takes uint8 pixels and does the rest itself; they are only scaled, if its maximum is another.
        raw_maximum: the pixel value that such a network scales to 1; 0: it takes pixels as they are.
    """

    shape: tuple[int, ...] | None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    maximum: float = 255.0
    classes: tuple[str, ...] = field(default_factory=tuple)
    raw: bool = False
    raw_maximum: float = 0.0

    @classmethod
    def of_session(cls, session: Session) -> InputPreparation:
        """Read what the exporter wrote into the file's metadata (`bitwright.input`)."""
        import json

        shape = tuple(int(d) for d in session.inputs[0].shape[1:])
        stored = session.meta.get("metadata", {}).get("bitwright.input")
        facts = json.loads(stored) if isinstance(stored, str) else {}
        raw_maximum = float(session.meta.get("pixels", {}).get("maximum", 0.0))
        return cls(
            shape=shape if len(shape) == 3 else None,
            mean=tuple(facts.get("mean", ())),
            std=tuple(facts.get("std", ())),
            maximum=float(facts.get("maximum", 255.0)),
            classes=tuple(facts.get("classes", ())),
            raw=session.inputs[0].dtype == np.uint8,
            raw_maximum=raw_maximum if raw_maximum > 1 else 0.0,  # 1: the graph itself normalises
        )

    def class_name(self, index: int) -> str:
        """The name of a class, or its number."""
        return self.classes[index] if index < len(self.classes) else str(index)

    def load(self, path: str | os.PathLike[str]) -> tuple[NDArray[Any], list[str]]:
        """Read an image or a .npy file.

        Returns:
            The prepared batch, and a label for each sample.

        Raises:
            FileNotFoundError, ValueError: with the path and what would be right.
        """
        name = Path(path)
        if not name.exists():
            raise FileNotFoundError(f"{name}: no such file")
        if name.suffix.lower() == ".npy":
            try:
                array = np.load(name, allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise ValueError(f"{name}: not a readable .npy array ({error})") from error
            x = self.pixels(array, self.maximum) if array.dtype == np.uint8 else self._as_batch(array, str(name))
            return x, [f"{name}[{i}]" if len(x) > 1 else str(name) for i in range(len(x))]
        return self.pixels(self._open_image(name), 255.0), [str(name)]

    def _as_batch(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        if self.raw:
            raise ValueError(f"{name}: {array.dtype}; this network takes uint8 pixels, as they are in the images")
        if array.dtype == np.float64:
            raise ValueError(f"{name}: float64; save it as float32: numpy.save(path, x.astype('float32'))")
        if self.shape is not None and array.ndim == len(self.shape):
            return array[None]
        return array

    def _open_image(self, name: Path) -> NDArray[np.uint8]:
        from PIL import Image, UnidentifiedImageError

        if self.shape is None:
            raise ValueError(f"{name}: this network does not take images; give a .npy array of its input")
        channels, height, width = self.shape
        if channels not in (1, 3):
            raise ValueError(f"{name}: the network wants {channels} channels; give a .npy array")
        try:
            with Image.open(name) as image:
                picture = image.convert("L" if channels == 1 else "RGB")
        except UnidentifiedImageError as error:
            raise ValueError(
                f"{name}: not an image that Pillow can read; images and .npy arrays are accepted"
            ) from error
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(picture, dtype=np.uint8).reshape(1, height, width, channels)

    def pixels(self, array: NDArray[np.uint8], maximum: float) -> NDArray[Any]:
        """uint8 pixels [H,W], [H,W,C], [N,H,W] or [N,H,W,C] -> the network's input [N,C,H,W], float32 or uint8."""
        if self.shape is None:
            raise ValueError("this network does not take images; give a float32 .npy array of its input")
        channels, height, width = self.shape
        if self.raw and array.ndim == 4 and array.shape[1:] == self.shape:
            array = array.transpose(0, 2, 3, 1)  # as the network takes them
        sizes = {
            (height, width): (1, height, width, 1),
            (height, width, channels): (1, height, width, channels),
        }
        if array.shape in sizes and (channels == 1 or array.ndim == 3):
            array = array.reshape(sizes[array.shape])
        elif array.ndim == 3 and channels == 1:
            array = array[..., None]
        if array.ndim != 4 or array.shape[1:] != (height, width, channels):
            raise ValueError(
                f"pixels of shape {list(array.shape)}: the network wants uint8 [N,{height},{width},{channels}] or "
                f"float32 [N,{channels},{height},{width}]"
            )
        if self.raw:
            if self.raw_maximum not in (0.0, maximum):
                array = np.rint(array * np.float32(self.raw_maximum / maximum)).astype(np.uint8)
            return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
        if not self.mean:
            raise ValueError(
                "this model does not say how its pixels were normalised (no 'bitwright.input' metadata); "
                "give a float32 .npy array prepared as in training"
            )
        x = array.astype(np.float32) / np.float32(maximum)
        x = (x - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
