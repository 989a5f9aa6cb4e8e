"""Products of packed matrices by the engine's count kernels: binary GEMM, Hamming distances, {0,1} products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.runtime._load import native

__all__ = ["PRODUCTS", "PackedMatrix", "binary_matmul"]

# What one output element is, with d bits that differ. Codes as in native/engine/product.h.
PRODUCTS = {"signs": 0, "hamming": 1, "levels": 2, "and": 3}
_LEVELS_OF_B = 4
_FEW = 32  # rows of b for which it pays to exchange the sides


def _words(name: str, array: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    """Rows of packed bits as C-contiguous uint32 [..., rows, words]."""
    given = np.asarray(array)
    if given.dtype not in (np.uint32, np.uint8, np.uint64):
        raise TypeError(f"{name} is {given.dtype}; packed bits as uint32 (or uint8, uint64) are expected")
    if given.ndim < 2 or given.shape[-1] == 0:
        raise ValueError(f"{name} has the shape {list(given.shape)}; [..., rows, words] is expected")
    if given.dtype == np.uint8 and given.shape[-1] % 4:
        given = np.pad(given, [(0, 0)] * (given.ndim - 1) + [(0, -given.shape[-1] % 4)])
    given = np.ascontiguousarray(given)
    return given if given.dtype == np.uint32 else given.view(np.uint32)


def _true_bits(bits: int | None, given: npt.ArrayLike, words: int) -> int:
    if bits is None:
        row = np.asarray(given)
        return 8 * row.shape[-1] * row.itemsize
    if not 0 < bits <= 32 * words:
        raise ValueError(f"bits is {bits}; rows of {words} words hold 1 to {32 * words}")
    return bits


def _code(product: str) -> int:
    if product not in PRODUCTS:
        raise ValueError(f"product is {product!r}; known: {', '.join(map(repr, PRODUCTS))}")
    return PRODUCTS[product]


def _output(
    out: npt.NDArray[Any] | None, dtype: npt.DTypeLike, shape: tuple[int, ...], code: int, bits: int
) -> npt.NDArray[Any]:
    kind = np.dtype(dtype) if out is None else out.dtype
    if kind not in (np.int32, np.uint16):
        raise TypeError(f"the output is {kind}; int32 or uint16 is expected")
    if kind == np.uint16:
        if code not in (PRODUCTS["hamming"], PRODUCTS["and"]):
            raise ValueError("a uint16 output cannot hold negative numbers: it needs product 'hamming' or 'and'")
        if bits > 65535:
            raise ValueError(f"a uint16 output cannot count {bits} bits; use int32")
    if out is None:
        return np.empty(shape, kind)
    if out.shape != shape or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"out has the shape {list(out.shape)}; a writable, C-contiguous {list(shape)} is expected")
    return out


class PackedMatrix:
    """The right side of `binary_matmul`, brought into the kernel's layout once for many products.

    Args:
        b: packed rows, uint32 [..., N, W] (or uint8 bytes, uint64), as `pack_bits` makes them; bits past the true
            length are 0.
        bits: the true length K of a row; None for all its bits (32 * W).
        kernel: as ``kernel`` of `bitwright.runtime.Session`; "bconv_gfni", bit-sliced counting, holds 4 times the
            packed bits and takes rows of at most 65535 bits (longer ones run by popcount).
        threads: threads that lay it out, 0 for as many as the process may use.

    Attributes:
        shape: (..., N, K).
        nbytes: bytes held.
        kernel: name of the count kernel, such as "bconv_avx2".

    Raises:
        TypeError, ValueError: an argument does not fit.
    """

    def __init__(
        self, b: npt.ArrayLike, bits: int | None = None, *, kernel: str | None = None, threads: int = 1
    ) -> None:
        words = _words("b", b)
        self._bits = _true_bits(bits, b, words.shape[-1])
        self._shape = words.shape
        if threads < 0:
            raise ValueError(f"threads is {threads}; 0 (all) or more is expected")
        batch = math.prod(words.shape[:-2])
        self._native = native.product_matrix(words.reshape(batch, *words.shape[-2:]), kernel or "", threads)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self._shape[:-1], self._bits)

    @property
    def nbytes(self) -> int:
        return int(self._native.nbytes)

    @property
    def kernel(self) -> str:
        return str(self._native.kernel)

    def __repr__(self) -> str:
        return f"PackedMatrix(shape={list(self.shape)}, kernel={self.kernel!r})"

    def multiply(
        self,
        a: npt.ArrayLike,
        *,
        product: str = "signs",
        dtype: npt.DTypeLike = np.int32,
        out: npt.NDArray[Any] | None = None,
        threads: int = 1,
        rows: int = 0,
    ) -> npt.NDArray[Any]:
        """a times this matrix, transposed: as `binary_matmul`, whose ``b`` and ``bits`` are fixed here.

        ``rows``: of a, that this matrix passes together, at most; 0 for as many as the caches suggest. "bconv_gfni"
        divides the work as it does.
        """
        if not 0 <= rows < 2**31:
            raise ValueError(f"rows is {rows}; 0 (by a rule) or more is expected")
        return self._multiply(_words("a", a), _code(product), dtype, out, threads, rows)

    def _multiply(
        self,
        a: npt.NDArray[np.uint32],
        code: int,
        dtype: npt.DTypeLike,
        out: npt.NDArray[Any] | None,
        threads: int,
        item_rows: int = 0,
    ) -> npt.NDArray[Any]:
        batch, (rows, words) = self._shape[:-2], self._shape[-2:]
        if a.shape[-1] != words:
            raise ValueError(f"rows of a have {a.shape[-1]} words, rows of b have {words}")
        if batch and a.shape[:-2] != batch:
            raise ValueError(f"a has the shape {list(a.shape)}, b {list(self._shape)}: the leading axes differ")
        if threads < 0:
            raise ValueError(f"threads is {threads}; 0 (all) or more is expected")
        result = _output(out, dtype, (*a.shape[:-1], rows), code, self._bits)
        if result.size:
            count = math.prod(batch)
            flat, to = a.reshape(count, -1, words), result.reshape(count, -1, rows)
            self._native.multiply(flat, code, self._bits, to, threads, item_rows)
        return result


def binary_matmul(
    a: npt.ArrayLike,
    b: npt.ArrayLike | PackedMatrix,
    *,
    bits: int | None = None,
    product: str = "signs",
    dtype: npt.DTypeLike = np.int32,
    out: npt.NDArray[Any] | None = None,
    threads: int = 1,
    kernel: str | None = None,
) -> npt.NDArray[Any]:
    """Every row of a with every row of b, exactly.

    Args:
        a: packed rows, uint32 [..., M, W] (or uint8 bytes, uint64; any bit order, if it is the same in b); bits past
            the true length are 0. `pack_bits` makes them.
        b: the same, [..., N, W] with the leading axes of a; or none, then it meets all of a. A `PackedMatrix` saves
            laying it out in every call.
        bits: the true length K of a row; None for all its bits (32 * W). With a `PackedMatrix` it is the matrix's.
        product: what an output is. "signs": the sum of products of ±1 (bit 1 is +1), K - 2 d, where d bits differ;
            "hamming": d; "levels": a is {0,1}, b ±1: 2 |a and b| - |a|; "and": both are {0,1}: |a and b|.
        dtype: numpy.int32, or for "hamming" and "and" of at most 65535 bits numpy.uint16.
        out: [..., M, N], C-contiguous, of one of these types: receives the result. Must not overlap a or b.
        threads: threads of this call, 0 for as many as the process may use.
        kernel: as ``kernel`` of `bitwright.runtime.Session`; not with a `PackedMatrix`, which has its own.

    Returns:
        [..., M, N] (``out`` if given).

    Raises:
        TypeError: an array of another type.
        ValueError: shapes or arguments that do not fit.
    """
    code = _code(product)
    left = _words("a", a)
    if isinstance(b, PackedMatrix):
        if bits not in (None, b.shape[-1]) or kernel is not None:
            raise ValueError("b is a PackedMatrix: bits and kernel are its own")
        return b._multiply(left, code, dtype, out, threads)
    right = _words("b", b)
    true = _true_bits(bits, b, right.shape[-1])
    if right.shape[-2] < _FEW <= left.shape[-2] and left.shape[-1] == right.shape[-1] and left.ndim == right.ndim:
        # A panel holds many rows of b: with few of them the other side makes better panels.
        result = _output(out, dtype, (*left.shape[:-1], right.shape[-2]), code, true)
        packed = PackedMatrix(left, true, kernel=kernel, threads=threads)
        exchanged = _LEVELS_OF_B if code == PRODUCTS["levels"] else code
        swapped = packed._multiply(right, exchanged, result.dtype, None, threads)
        np.copyto(result, swapped.swapaxes(-1, -2))
        return result
    return PackedMatrix(right, true, kernel=kernel, threads=threads)._multiply(left, code, dtype, out, threads)
