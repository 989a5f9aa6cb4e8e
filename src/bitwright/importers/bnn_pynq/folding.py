"""Puts a layer's matrix together from the memories of its processing elements.

A layer of `rows` neurons is folded onto P processing elements of S inputs each. Element p computes the neurons
p, P + p, 2P + p, …; its memory holds, neuron by neuron, the words of S consecutive weights each: bit j of a word is
weight S*w + j, 1 for +1 and 0 for -1. Words and thresholds are 64-bit little-endian. All of it was read in the
generator of these files (FINN's finnthesizer) and holds for any P and S.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ImportModelError

WORD = 8


@dataclass(frozen=True)
class Matrix:
    """One layer: `signs` (rows, columns), True for +1; `thresholds` of the rows, or None for a layer without."""

    signs: NDArray[np.bool_]
    thresholds: NDArray[np.int64] | None
    elements: int  # processing elements that it was folded onto
    simd: int  # weights a word


def unfold(layer: int, rows: int, columns: int, weights: list[bytes], thresholds: list[bytes] | None) -> Matrix:
    """The matrix of a layer.

    Raises:
        ImportModelError: the files do not have the sizes of such a layer, or words hold more bits than weights.
    """
    count = len(weights)
    words = _words(weights, f"{layer}-*-weights.bin")
    depth = words.shape[1]
    if rows % count or depth == 0 or (rows * columns) % (count * depth):
        raise ImportModelError(f"layer {layer}: {count} files of {depth} words do not hold {rows} x {columns} weights")
    simd = rows * columns // (count * depth)
    if simd > 64 or columns % simd:
        raise ImportModelError(
            f"layer {layer}: {count} files of {depth} words are {simd} bits a word for {rows} x {columns} weights"
        )
    if simd < 64 and np.any(words >> np.uint64(simd)):
        raise ImportModelError(
            f"layer {layer}: words have more than {simd} bits; these are no 1-bit weights of a {rows} x {columns} layer"
        )
    bits = words[..., None] >> np.arange(simd, dtype=np.uint64) & np.uint64(1)
    signs = bits.astype(np.bool_).reshape(count, rows // count, columns).transpose(1, 0, 2).reshape(rows, columns)
    return Matrix(signs, _thresholds(layer, rows, count, thresholds), count, simd)


def _thresholds(layer: int, rows: int, count: int, files: list[bytes] | None) -> NDArray[np.int64] | None:
    if files is None:
        return None
    values = _words(files, f"{layer}-*-thres.bin").view(np.int64)
    if values.shape != (count, rows // count):
        raise ImportModelError(
            f"layer {layer}: {values.shape[0]} threshold files of {values.shape[1]} words for {count} processing "
            f"elements with {rows // count} rows each; activations of more than 1 bit (W1A2, W2A2) cannot be imported"
        )
    if np.abs(values).max() >= 1 << 23:
        raise ImportModelError(f"layer {layer}: thresholds reach {np.abs(values).max()}; the hardware has 24 bits")
    return values.T.reshape(rows)


def _words(files: list[bytes], what: str) -> NDArray[np.uint64]:
    if len({len(f) for f in files}) != 1 or len(files[0]) % WORD or not files[0]:
        sizes = sorted({len(f) for f in files})
        raise ImportModelError(f"the files {what} have {sizes} bytes; they must be equally long, in words of {WORD}")
    return np.stack([np.frombuffer(f, "<u8") for f in files]).astype(np.uint64)
