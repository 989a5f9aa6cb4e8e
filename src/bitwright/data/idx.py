"""The IDX format of MNIST: big-endian header (two zero bytes, type, rank, dimensions), then the array."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from bitwright.data.root import DataError

_UINT8 = 0x08


def read_idx_gz(path: Path) -> np.ndarray:
    """Reads a gzip-compressed IDX file of unsigned bytes.

    Returns:
        uint8 array of the file's shape.

    Raises:
        DataError: not such a file, or truncated.
    """
    try:
        with gzip.open(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a readable gzip file: {error}") from error
    if len(data) < 4 or data[0] or data[1] or data[2] != _UINT8:
        raise DataError(f"{path} is not an IDX file of unsigned bytes (header {data[:4].hex(' ')})")
    rank = data[3]
    start = 4 + 4 * rank
    if len(data) < start:
        raise DataError(f"{path} ends inside its header")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", rank, 4))
    elements = int(np.prod(shape, dtype=np.int64))
    if len(data) - start != elements:
        raise DataError(f"{path} holds {len(data) - start} bytes where its shape {shape} needs {elements}")
    return np.frombuffer(data, np.uint8, elements, start).reshape(shape)
