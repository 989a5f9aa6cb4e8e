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
    """A convolution, NHWC; a map of three axes has its depth beside (`d` and the fields that end in `_d`).

    Attributes:
        images, h, w, c: the input map; c: of all groups.
        kernel, stride, pad, dilation: (vertical, horizontal); `pad`: before the map.
        fill: what the padding is worth: -1, 0 or 1 for ±1 maps, 0 for others.
        groups: each sees c / groups channels.
        end: padding behind the map where it differs from `pad`. Negative widths crop.
        transposed: 1: the transposed convolution, in gather form: `pad` and `end` are cropped from its output, and
            positions that no tap reaches are 0.
        d, kernel_d, stride_d, pad_d, dilation_d, end_d: along the depth.
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
    groups: int = 1
    end: Pair | None = None
    transposed: int = 0
    d: int = 1
    kernel_d: int = 1
    stride_d: int = 1
    pad_d: int = 0
    dilation_d: int = 1
    end_d: int | None = None

    def __post_init__(self) -> None:
        if self.end == self.pad:
            object.__setattr__(self, "end", None)
        if self.end_d == self.pad_d:
            object.__setattr__(self, "end_d", None)
        positive = (self.images, *(n for _, size, k, s, e, _, _ in self.axes for n in (size, k, s, e)), self.groups)
        if min(*positive, self.c) < 1:
            raise TuneError(f"sizes, kernel, stride, dilation and groups must be at least 1: {self}")
        if self.fill not in (-1, 0, 1):
            raise TuneError(f"fill is {self.fill}; -1, 0 or 1 is expected")
        if self.transposed not in (0, 1) or (self.transposed and self.fill):
            raise TuneError(f"transposed is {self.transposed}; 0, or 1 with a fill of 0 is expected: {self}")
        if self.c % self.groups:
            raise TuneError(f"{self.c} channels cannot be split into {self.groups} groups")
        if min(self.out_all) < 1:
            raise TuneError(f"the kernel is larger than the padded map: {self}")

    @property
    def axes(self) -> tuple[tuple[str, int, int, int, int, int, int], ...]:
        """Of each axis: name, size, kernel, stride, dilation, padding before and behind."""
        end, end_d = self.end or self.pad, self.pad_d if self.end_d is None else self.end_d
        return (
            ("d", self.d, self.kernel_d, self.stride_d, self.dilation_d, self.pad_d, end_d),
            *(
                (name, size, self.kernel[i], self.stride[i], self.dilation[i], self.pad[i], end[i])
                for i, (name, size) in enumerate((("h", self.h), ("w", self.w)))
            ),
        )

    @property
    def out_all(self) -> tuple[int, int, int]:
        """Depth, height and width of the output map."""
        d, h, w = (
            (size - 1) * s + e * (k - 1) + 1 - begin - end
            if self.transposed
            else (size + begin + end - e * (k - 1) - 1) // s + 1
            for _, size, k, s, e, begin, end in self.axes
        )
        return d, h, w

    @property
    def out(self) -> Pair:
        """Height and width of the output map."""
        return self.out_all[1:]

    @property
    def deep(self) -> bool:
        """Whether anything happens along the depth."""
        return (self.d, self.kernel_d, self.pad_d, self.end_d) != (1, 1, 0, None)

    @property
    def padded(self) -> bool:
        """Whether taps may lie outside of the map."""
        return any(begin > 0 or end > 0 for *_, begin, end in self.axes) or bool(self.transposed)

    @property
    def taps(self) -> int:
        return self.kernel_d * self.kernel[0] * self.kernel[1]

    @property
    def group_channels(self) -> int:
        """Channels that an output sees."""
        return self.c // self.groups

    @property
    def pixels(self) -> int:
        """Of an image of the input."""
        return self.d * self.h * self.w

    def problem(self, n: int, a: str = "pm1", w: str = "pm1", out: str = "s32") -> Problem:
        """The product of this convolution with `n` output channels."""
        if n % self.groups:
            raise TuneError(f"{n} output channels cannot be split into {self.groups} groups")
        z, y, x = self.out_all
        return Problem("conv2d", self.images * z * y * x, n, self.taps * self.group_channels, a, w, out, str(self))

    def __str__(self) -> str:
        values = (
            (f.name, getattr(self, f.name))
            for f in fields(self)
            if f.name in _ALWAYS or getattr(self, f.name) != f.default
        )
        return " ".join(f"{k}={v[0]}x{v[1]}" if isinstance(v, tuple) else f"{k}={v}" for k, v in values)

    @classmethod
    def parse(cls, detail: str) -> Conv2d:
        """From a problem's detail.

        Raises:
            TuneError: not what `str` of a convolution writes.
        """
        return _parsed(detail)

    def sources(self) -> NDArray[np.int64]:
        """The input pixel that each tap of each output pixel of an image reads, -1 outside: `[out pixels, taps]`."""
        index: NDArray[np.int64] = np.zeros((1, 1), np.int64)
        inside: NDArray[np.bool_] = np.ones((1, 1), np.bool_)
        for (_, size, k, s, e, begin, _), count in zip(self.axes, self.out_all, strict=True):
            place, tap = np.arange(count)[:, None], np.arange(k)[None] * e
            if self.transposed:
                at = place + begin - tap
                valid, at = (at >= 0) & (at % s == 0) & (at // s < size), at // s
            else:
                at = place * s - begin + tap
                valid = (at >= 0) & (at < size)
            index = (index[:, None, :, None] * size + at[None, :, None]).reshape(len(index) * count, -1)
            inside = (inside[:, None, :, None] & valid[None, :, None]).reshape(len(inside) * count, -1)
        return np.where(inside, index, -1)

    def reached(self) -> NDArray[np.bool_]:
        """Which taps of each output pixel lie inside the map: `[out pixels, taps]`."""
        return self.sources() >= 0

    def patches(self, x: NDArray[np.int64], fill: int) -> NDArray[np.int64]:
        """Unfolded rows `[images * out pixels, taps * c]` of a map `[images, ..., c]`: for references only."""
        flat = x.reshape(self.images, self.pixels, self.c)
        flat = np.concatenate([flat, np.full((self.images, 1, self.c), fill, x.dtype)], 1)  # the last one is outside
        return flat[:, self.sources()].reshape(-1, self.taps * self.c)


_ALWAYS = frozenset(["images", "h", "w", "c", "kernel", "stride", "pad", "dilation", "fill"])
_PAIRS = frozenset(["kernel", "stride", "pad", "dilation", "end"])


@lru_cache(maxsize=256)  # every candidate of a space asks
def _parsed(detail: str) -> Conv2d:
    names = {f.name for f in fields(Conv2d)}
    values: dict[str, int | Pair] = {}
    for item in detail.split():
        found = _ITEM.fullmatch(item)
        if not found or found[1] not in names or ("x" in item.partition("=")[2]) != (found[1] in _PAIRS):
            raise TuneError(f"{item!r} in {detail!r} is no part of a convolution's geometry")
        values[found[1]] = int(found[2]) if found[3] is None else (int(found[2]), int(found[3]))
    try:
        return Conv2d(**values)  # type: ignore[arg-type]
    except TypeError as error:
        raise TuneError(f"{detail!r} is no convolution's geometry: {error}") from None
