"""How a kernel's sums become the product: factors and per-column terms, and operands in the kernels' layout.

Kernels compute `D = acc_mul * acc + a_mul * a_sum[row] + w_terms[class][column]` (kernels/product.cuh), where acc is
the sum over planes of `weight * popcount(a_plane op w)` and a_sum that of `weight * popcount(a_plane)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import TuneError
from ..formats import Format, Ints, format_of
from .conv import Conv2d

Words = NDArray[np.uint32]
CHUNK = 128  # bits of K that kernels move at once; rows are padded to it with zeros


def chunks_of(k: int) -> int:
    """Chunks of a row of `k` bits."""
    return -(-k // CHUNK)


def pack_rows(bits: NDArray[np.bool_]) -> Words:
    """Bits `[..., K]` to words `[..., 4 * chunks]`, least significant bit first."""
    k = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], chunks_of(k) * CHUNK), np.uint8)
    padded[..., :k] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4")


def unpack_rows(words: Words, k: int) -> NDArray[np.bool_]:
    """The inverse of `pack_rows`."""
    data = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(data, axis=-1, bitorder="little")[..., :k].astype(np.bool_)


def plane_weights(a: Format) -> tuple[int, ...]:
    """What the kernels weigh planes with: powers of two, the top one of signed numbers negative; 1 for a sign."""
    return (1,) if a.kind == "sign" else a.weights


@dataclass(frozen=True)
class Terms:
    """Factors of a product, see the module's head. `row_class` is None where all rows are of one class."""

    acc_mul: int
    a_mul: int
    w_terms: NDArray[np.int32]  # [classes, n]
    row_class: NDArray[np.int32] | None = None  # [out pixels]
    pad_bits: NDArray[np.bool_] | None = None  # [c]: bits of the padding where they are not all 0
    pad_sum: int = 0


def terms_of(a_format: str, logic: str, w_bits: NDArray[np.bool_], conv: Conv2d | None = None) -> Terms:
    """The factors for weights ±1.

    Args:
        a_format: of the activations.
        logic: "and" or "xor": what joins the bits of both sides.
        w_bits: `[n, K]`; of a convolution `[n, taps, c / groups]`.
        conv: a convolution's geometry.

    Raises:
        TuneError: no such logic, a float format, or padding that the format cannot hold.
    """
    a = format_of(a_format)
    if logic not in ("and", "xor") or a.kind == "float":
        raise TuneError(f"no identity for {a_format} by {logic!r}")
    n = w_bits.shape[0]
    per_tap = w_bits.reshape(n, -1, w_bits.shape[-1] if conv is None else conv.group_channels).sum(-1).astype(np.int64)
    k, ones = int(np.prod(w_bits.shape[1:])), per_tap.sum(1)
    if a.kind != "sign":
        if conv is not None and conv.fill != 0:
            raise TuneError(f"a map of {a_format} is padded with 0, not with {conv.fill}")
        if logic == "and":
            return Terms(2, -1, np.zeros((1, n), np.int32))
        return Terms(-1, 0, (sum(a.weights) * ones)[None].astype(np.int32))
    acc_mul, a_mul = (4, -2) if logic == "and" else (-2, 0)
    if conv is None or conv.fill == -1 or not conv.padded:
        terms = (k - 2 * ones if logic == "and" else np.full(n, k))[None]
        return Terms(acc_mul, a_mul, terms.astype(np.int32))
    if conv.fill == 1:
        terms = (k - 2 * ones if logic == "and" else np.full(n, k))[None]
        return Terms(acc_mul, a_mul, terms.astype(np.int32), None, np.ones(conv.c, np.bool_), conv.group_channels)
    # zeros: taps outside count for nothing. Their bits are 0 in the map, so `and` sums need no correction, `xor` sums
    # have counted the ones of the weights there.
    kinds, row_class = np.unique(conv.reached(), axis=0, return_inverse=True)
    inside = kinds.astype(np.int64) @ per_tap.T  # [classes, n]
    length = kinds.sum(1)[:, None] * conv.group_channels
    terms = length - 2 * inside if logic == "and" else length + 2 * (ones[None] - inside)
    return Terms(acc_mul, a_mul, terms.astype(np.int32), row_class.reshape(-1).astype(np.int32))


def row_sums(planes: NDArray[np.bool_], a: Format) -> NDArray[np.int32]:
    """Sums of bits weighted by plane: planes `[p, ..., K]` to `[...]`."""
    counts = planes.sum(-1).astype(np.int64)
    return np.tensordot(np.asarray(plane_weights(a)), counts, 1).astype(np.int32)


def affine(d: Ints, scale: NDArray[np.float32] | None, bias: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """`scale * D + bias`, two rounded float32 operations."""
    y = d.astype(np.float32)
    if scale is not None:
        y = y * scale
    return y if bias is None else y + bias
