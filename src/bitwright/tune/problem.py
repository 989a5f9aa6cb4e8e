"""What is to be computed, as far as the choice of a kernel depends on it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from .errors import TuneError
from .formats import format_of

OPS = ("gemm", "conv2d", "layer")
OUTPUTS = ("s32", "f32", "f16", "bf16", "bits")


def bucket_of(m: int) -> int:
    """The bucket of a number of rows: powers of two up to 16, then powers of two and their midpoints (24, 32, 48, …).

    Rows vary with the batch; timings of one bucket serve all of it.
    """
    if m < 1:
        raise TuneError(f"m is {m}; at least 1 row is expected")
    power = 1 << (m - 1).bit_length()
    middle = power * 3 // 4
    return middle if power > 16 and m <= middle else power


@dataclass(frozen=True)
class Problem:
    """A product of low-bit matrices `[M, K] x [N, K]ᵀ`, a convolution, or a layer of a compiled model.

    Attributes:
        op: "gemm", "conv2d", or "layer" (then `detail` is the engine's text of the layer).
        m, n, k: rows of activations, output channels, length of a dot product.
        a, w: formats of activations and weights (`FORMATS`).
        out: "s32", scaled "f32", "f16" or "bf16", or thresholded "bits".
        detail: geometry of a convolution, text of a layer.
    """

    op: str
    m: int
    n: int
    k: int
    a: str = "pm1"
    w: str = "pm1"
    out: str = "s32"
    detail: str = ""

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise TuneError(f"op is {self.op!r}; known are {', '.join(OPS)}")
        if self.out not in OUTPUTS:
            raise TuneError(f"out is {self.out!r}; known are {', '.join(OUTPUTS)}")
        for name in ("m", "n", "k"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise TuneError(f"{name} is {value!r}; an integer of at least 1 is expected")
        format_of(self.a), format_of(self.w)

    @property
    def bucketed(self) -> Problem:
        """The same with M rounded up to its bucket: the key of the store."""
        return replace(self, m=bucket_of(self.m))

    @property
    def products(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.n * self.k

    def to_dict(self) -> dict[str, Any]:
        """For JSON; fields at their default are left out."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @classmethod
    def from_dict(cls, data: Any) -> Problem:
        """Raises TuneError for anything that `to_dict` does not write."""
        if not isinstance(data, dict) or not data.keys() <= {f.name for f in fields(cls)}:
            raise TuneError(f"not a problem: {data!r}")
        try:
            return cls(**data)
        except TypeError as error:
            raise TuneError(f"not a problem: {data!r} ({error})") from None

    def __str__(self) -> str:
        if self.op == "layer":
            return self.detail
        geometry = f" {self.detail}" if self.detail else ""
        return f"{self.op} {self.m}x{self.n}x{self.k} {self.a}*{self.w}->{self.out}{geometry}"
