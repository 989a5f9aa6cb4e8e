"""MXNet's NDArray list: the bytes of a `.params` file.

Layout (all little-endian): uint64 0x112, uint64 0, uint64 count and as many arrays, then uint64 count and as many names
(uint64 length and the bytes), which begin with `arg:` or `aux:`. An array is

    oldest  uint32 rank,                                  uint32 sizes, context, int32 type, data
    V1      uint32 0xF993FAC8,        uint32 rank,        int64 sizes,  context, int32 type, data
    V2, V3  uint32 0xF993FAC9 or A, int32 storage, int32 rank, int64 sizes, context, int32 type, data

with a context of two int32; an array of rank 0 ends behind its rank (V3: of rank -1).
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImportModelError

MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES: dict[int, str] = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}
_MAX_RANK = 32  # numpy's own limit is 64, MXNet's files have at most 5 or so
_DENSE = (-1, 0)


class _Reader:
    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0

    def error(self, text: str) -> ImportModelError:
        return ImportModelError(f"{self.where}: {text} (at byte {self.at} of {len(self.data)})")

    def take(self, count: int, what: str) -> bytes:
        if count > len(self.data) - self.at:
            raise self.error(f"the file ends inside {what}, which has {count} bytes")
        self.at += count
        return self.data[self.at - count : self.at]

    def numbers(self, format: str, what: str) -> tuple[int, ...]:
        return tuple(int(v) for v in struct.unpack("<" + format, self.take(struct.calcsize("<" + format), what)))

    def number(self, format: str, what: str) -> int:
        return self.numbers(format, what)[0]


def read_params(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The arrays of a `.params` file by their names, without `arg:` and `aux:`.

    Raises:
        ImportModelError: not such a file, truncated, or an array of a kind that MXNet's parameters never have (sparse).
    """
    read = _Reader(data, where)
    magic, _ = read.numbers("QQ", "the header")
    if magic != MAGIC:
        raise ImportModelError(f"{where}: not an MXNet parameter file: it begins with {magic:#x}, not {MAGIC:#x}")
    count = read.number("Q", "the number of arrays")
    if count * 4 > len(data):
        raise read.error(f"it says that it has {count} arrays, more than its bytes can hold")
    arrays = [_array(read, i) for i in range(count)]
    names = read.number("Q", "the number of names")
    if names != count:
        raise read.error(f"it has {count} arrays and {names} names; a parameter file names each array")
    result: dict[str, NDArray[Any]] = {}
    for array in arrays:
        length = read.number("Q", "the length of a name")
        try:
            full = read.take(length, "a name").decode("utf-8")
        except UnicodeDecodeError as error:
            raise read.error("a name is not UTF-8") from error
        name = full.removeprefix("arg:").removeprefix("aux:")
        if name in result:
            raise read.error(f"it has two arrays called {name!r}")
        if array is not None:
            result[name] = array
    if read.at != len(data):
        raise read.error("bytes are left over behind the last name")
    return result


def _array(read: _Reader, index: int) -> NDArray[Any] | None:
    what = f"array {index}"
    first = read.number("I", what)
    rank, size, least = first, "I", 1
    if first in (_V2, _V3):
        storage = read.number("i", what)
        if storage not in _DENSE:
            raise read.error(f"{what} is sparse (storage type {storage}); only dense parameters can be imported")
        least = 0 if first == _V3 else 1
    if first in (_V1, _V2, _V3):
        rank, size = read.number("i", what), "q"
    if rank < least:
        return None  # a declared but empty array
    if rank > _MAX_RANK:
        raise read.error(f"{what} has rank {rank}; at most {_MAX_RANK} can be")
    shape = read.numbers(size * rank, f"the shape of {what}")
    read.take(8, f"the context of {what}")
    kind = read.number("i", f"the type of {what}")
    if kind not in _TYPES:
        raise read.error(f"{what} has the type {kind}; known are {sorted(_TYPES)} (0: float32, 1: float64, ...)")
    dtype = np.dtype(_TYPES[kind])
    if any(n < 0 for n in shape):
        raise read.error(f"{what} has the shape {shape}")
    if 0 in shape:
        return None  # nothing to read, and numpy cannot hold every such shape
    raw = read.take(math.prod(shape) * dtype.itemsize, f"{what} of shape {shape} and type {dtype}")
    return np.frombuffer(raw, dtype).reshape(shape)
