"""Number formats of low-bit products, and the bit identities that compute them exactly.

A tensor of a format is a stack of bit planes; a product is a weighted sum of popcounts of planes, plus corrections that
depend on one side alone (rank 1). Bits past the true length K are 0 in both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import TuneError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Format:
    """How numbers are stored.

    Attributes:
        name: as problems and the store spell it.
        planes: bit planes of a number.
        kind: "sign" (bit 1 is +1, bit 0 is -1), "unsigned", "signed" (two's complement) or "float" (no planes).
    """

    name: str
    planes: int
    kind: str

    @property
    def weights(self) -> tuple[int, ...]:
        """What a bit of each plane is worth; a sign's bit is worth 2, with -1 for the number itself."""
        if self.kind == "sign":
            return (2,)
        values = [1 << plane for plane in range(self.planes)]
        if self.kind == "signed":
            values[-1] = -values[-1]
        return tuple(values)

    @property
    def constant(self) -> int:
        """What a number is worth whose bits are all 0."""
        return -1 if self.kind == "sign" else 0

    @property
    def values(self) -> tuple[int, int]:
        """The smallest and the largest number."""
        if self.kind == "sign":
            return -1, 1
        if self.kind == "signed":
            return -(1 << (self.planes - 1)), (1 << (self.planes - 1)) - 1
        return 0, (1 << self.planes) - 1


FORMATS: dict[str, Format] = {
    "pm1": Format("pm1", 1, "sign"),
    **{f"u{b}": Format(f"u{b}", b, "unsigned") for b in range(1, 9)},
    **{f"s{b}": Format(f"s{b}", b, "signed") for b in range(2, 9)},
    "f16": Format("f16", 0, "float"),
    "bf16": Format("bf16", 0, "float"),
}
"""pm1: ±1. u1: {0,1}. u2 … u8, s2 … s8: integers. f16, bf16: real
activations beside 1-bit weights (W1A16)."""


def format_of(name: str) -> Format:
    """Raises TuneError for an unknown name."""
    if name not in FORMATS:
        raise TuneError(f"unknown format {name!r}; known are {', '.join(FORMATS)}")
    return FORMATS[name]


def random_values(format: str, shape: tuple[int, ...], rng: np.random.Generator) -> Ints:
    """Uniform numbers of an integer format, int64. (Never zeros: kernels run faster on them than on real data.)"""
    known = format_of(format)
    if known.kind == "float":
        raise TuneError("f16 has no integer values; draw floats")
    if known.kind == "sign":
        return rng.integers(0, 2, shape) * 2 - 1
    low, high = known.values
    return rng.integers(low, high + 1, shape)


def planes_of(values: Ints, format: str) -> NDArray[np.bool_]:
    """Bit planes `[planes, ...]` of numbers.

    Raises:
        TuneError: a number that the format does not hold.
    """
    known = format_of(format)
    low, high = known.values
    fits = np.isin(values, (-1, 1)) if known.kind == "sign" else (values >= low) & (values <= high)
    if not fits.all():
        wrong = values[~fits].flat[0]
        right = "-1 or 1" if known.kind == "sign" else f"{low} to {high}"
        raise TuneError(f"{wrong} is no number of format {format}; {right} is expected")
    if known.kind == "sign":
        return np.asarray(values > 0)[None]
    bits = values[None] >> np.arange(known.planes).reshape(-1, *[1] * values.ndim)
    return (bits & 1).astype(np.bool_)


def product_reference(a: Ints, w: Ints) -> Ints:
    """`a [M, K]` times `w [N, K]` transposed, in int64: what every kernel must give."""
    return a @ w.T


def exact_product(a: Ints, w: Ints) -> Ints:
    """`product_reference` by the fast products of floats: exact, because they hold every partial sum.

    Raises:
        TuneError: sums beyond 2^53.
    """
    most = a.shape[-1] * int(max(abs(a.min(initial=0)), a.max(initial=0))) * int(np.abs(w).max(initial=0))
    if most >= 1 << 53:
        raise TuneError(f"sums may reach {most}; below 2^53 is expected")
    kind = np.float32 if most < 1 << 24 else np.float64
    return np.asarray(a.astype(kind) @ w.astype(kind).T).astype(np.int64)


def product_by_and(a: Ints, w: Ints, a_format: str, w_format: str) -> Ints:
    """The same by `and` and popcount of planes alone: the identity that the kernels use.

    With numbers c + Σ v_i b_i on both sides the product is
    K c_a c_w + c_w Σ v_i p(a_i) + c_a Σ v_j p(w_j) + Σ_ij v_i v_j p(a_i & w_j).
    """
    fa, fw = format_of(a_format), format_of(w_format)
    pa, pw = planes_of(a, a_format).astype(np.int64), planes_of(w, w_format).astype(np.int64)
    k = a.shape[-1]
    result = np.full((a.shape[0], w.shape[0]), k * fa.constant * fw.constant, np.int64)
    for i, va in enumerate(fa.weights):
        result += fw.constant * va * pa[i].sum(-1)[:, None]
        for j, vw in enumerate(fw.weights):
            result += va * vw * (pa[i] @ pw[j].T)
    for j, vw in enumerate(fw.weights):
        result += fa.constant * vw * pw[j].sum(-1)[None, :]
    return result


def product_by_xor(a: Ints, w: Ints) -> Ints:
    """±1 times ±1 by `xor`: K - 2 p(a ^ w)."""
    pa, pw = planes_of(a, "pm1")[0].astype(np.int64), planes_of(w, "pm1")[0].astype(np.int64)
    both = pa @ pw.T
    differ = pa.sum(-1)[:, None] + pw.sum(-1)[None, :] - 2 * both
    return a.shape[-1] - 2 * differ


def limit_of(a_format: str, w_format: str, k: int) -> int:
    """The largest magnitude that an output can have: what an accumulator must hold."""
    fa, fw = format_of(a_format), format_of(w_format)
    return k * max(map(abs, fa.values)) * max(map(abs, fw.values))
