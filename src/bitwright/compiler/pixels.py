"""How uint8 pixels become a network's float input: `(pixel / maximum - mean) / std`, one mean and std a channel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CompileError

F64 = npt.NDArray[np.float64]
INPUT_KEY = "bitwright.input"  # of an ONNX file's metadata: written by `bitwright export`


@dataclass(frozen=True)
class Pixels:
    """The normalisation that a compiled file does itself. `mean` and `std` have one element, or one a channel."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    maximum: float = 1.0

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise CompileError(f"mean has {len(self.mean)} numbers and std {len(self.std)}; give one a channel of each")
        numbers = np.array([*self.mean, *self.std, self.maximum], dtype=np.float64)
        if not np.isfinite(numbers).all() or min(self.std) <= 0 or self.maximum <= 0:
            raise CompileError(f"mean {self.mean}, std {self.std}, maximum {self.maximum}: std and maximum must be > 0")

    def affine(self, channels: int) -> tuple[F64, F64]:
        """(a, b) a channel with float input = pixel * a + b."""
        if len(self.mean) not in (1, channels):
            raise CompileError(f"mean has {len(self.mean)} numbers, the model's input has {channels} channels")
        std = np.broadcast_to(np.array(self.std), channels)
        return 1.0 / (self.maximum * std), -np.broadcast_to(np.array(self.mean), channels) / std

    def normalized(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """uint8 [N, C, ...] as the float32 that the source model takes."""
        shape = (1, -1, *[1] * (pixels.ndim - 2))
        mean, std = (np.asarray(v, np.float32).reshape(shape) for v in (self.mean, self.std))
        return (pixels.astype(np.float32) / np.float32(self.maximum) - mean) / std

    def to_dict(self) -> dict[str, Any]:
        """For META."""
        return asdict(self)

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any]) -> Pixels | None:
        """What a compiled file says, or None: it takes the source's input."""
        stored = meta.get("pixels")
        return cls._read(stored) if isinstance(stored, Mapping) else None

    @classmethod
    def of_source(cls, metadata: Mapping[str, str]) -> Pixels | None:
        """What the exporter wrote into the ONNX file, or None."""
        try:
            stored = json.loads(metadata.get(INPUT_KEY, "null"))
        except ValueError as error:
            raise CompileError(f"the model's metadata {INPUT_KEY!r} is not JSON: {error}") from error
        return cls._read(stored) if isinstance(stored, Mapping) and stored.get("mean") else None

    @classmethod
    def _read(cls, stored: Mapping[str, Any]) -> Pixels:
        mean, std = (tuple(float(x) for x in stored[k]) for k in ("mean", "std"))
        return cls(mean, std, float(stored.get("maximum", 255.0)))


__all__ = ["INPUT_KEY", "Pixels"]
