"""The geometry of a binary convolution as a product: rows are output pixels, K is taps times channels."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import TuneError
from ..problem import Problem

Pair = tuple[int, int]
_ITEM = re.compile(r"(\w+)=(-?\d+)(?:x(-?\d+))?")


@dataclass(frozen=True)
class Conv2d:
    """A convolution without groups, NHWC.

    Attributes:
        images, h, w, c: the input map.
        kernel, stride, pad, dilation: (vertical, horizontal); `pad` is that of both sides.
        fill: what the padding is worth: -1, 0 or 1 for ±1 maps, 0 for others.
    """

    images: int
    h: int
    w: int
    c: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    dilation: Pair = (1, 1)
    fill: int = 0

    def __post_init__(self) -> None:
        positive = (self.images, self.h, self.w, self.c, *self.kernel, *self.stride, *self.dilation)
        if min(positive) < 1 or min(self.pad) < 0:
            raise TuneError(f"sizes, kernel, stride and dilation must be at least 1, padding at least 0: {self}")
        if self.fill not in (-1, 0, 1):
            raise TuneError(f"fill is {self.fill}; -1, 0 or 1 is expected")
        if min(self.out) < 1:
            raise TuneError(f"the kernel is larger than the padded map: {self}")

    @property
    def out(self) -> Pair:
        """Height and width of the output map."""
        size = (self.h, self.w)
        y, x = (
            (size[i] + 2 * self.pad[i] - self.dilation[i] * (self.kernel[i] - 1) - 1) // self.stride[i] + 1
            for i in (0, 1)
        )
        return y, x

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def problem(self, n: int, a: str = "pm1", w: str = "pm1", out: str = "s32") -> Problem:
        """The product of this convolution with `n` output channels."""
        y, x = self.out
        return Problem("conv2d", self.images * y * x, n, self.taps * self.c, a, w, out, str(self))

    def __str__(self) -> str:
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return " ".join(f"{k}={v[0]}x{v[1]}" if isinstance(v, tuple) else f"{k}={v}" for k, v in values)

    @classmethod
    def parse(cls, detail: str) -> Conv2d:
        """From a problem's detail.

        Raises:
            TuneError: not what `str` of a convolution writes.
        """
        return _parsed(detail)

    def reached(self) -> NDArray[np.bool_]:
        """Which taps of each output pixel lie inside the map: `[out_h * out_w, taps]`."""
        y, x = self.out
        inside = []
        for axis, (count, size) in enumerate(((y, self.h), (x, self.w))):
            place = np.arange(count)[:, None] * self.stride[axis] - self.pad[axis]
            place = place + np.arange(self.kernel[axis])[None] * self.dilation[axis]
            inside.append((place >= 0) & (place < size))
        both = inside[0][:, None, :, None] & inside[1][None, :, None, :]
        return both.reshape(y * x, self.taps)

    def patches(self, x: NDArray[np.int64], fill: int) -> NDArray[np.int64]:
        """Unfolded rows `[images * out_h * out_w, taps * c]` of a map `[images, h, w, c]`: for references only."""
        (oy, ox), (ph, pw) = self.out, self.pad
        padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=fill)
        rows = [
            padded[:, i * self.dilation[0] :, j * self.dilation[1] :][
                :, : (oy - 1) * self.stride[0] + 1 : self.stride[0], : (ox - 1) * self.stride[1] + 1 : self.stride[1]
            ]
            for i in range(self.kernel[0])
            for j in range(self.kernel[1])
        ]
        return np.stack(rows, axis=3).reshape(self.images * oy * ox, self.taps * self.c)


@lru_cache(maxsize=256)  # every candidate of a space asks
def _parsed(detail: str) -> Conv2d:
    names = {f.name: f for f in fields(Conv2d)}
    values: dict[str, int | Pair] = {}
    for item in detail.split():
        found = _ITEM.fullmatch(item)
        if not found or found[1] not in names or ("x" in item) != (names[found[1]].type == "Pair"):
            raise TuneError(f"{item!r} in {detail!r} is no part of a convolution's geometry")
        values[found[1]] = int(found[2]) if found[3] is None else (int(found[2]), int(found[3]))
    try:
        return Conv2d(**values)  # type: ignore[arg-type]
    except TypeError as error:
        raise TuneError(f"{detail!r} is no convolution's geometry: {error}") from None
