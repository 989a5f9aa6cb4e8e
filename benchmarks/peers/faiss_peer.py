"""faiss: Hamming distances of all pairs of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

KINDS = {"gemm"}


def make(task: dict[str, Any]) -> Callable[[], None]:
    """See tasks.py."""
    faiss.omp_set_num_threads(task["threads"])
    rng = np.random.default_rng(0)
    m, n, k = task["m"], task["n"], task["k"]
    a, b = (rng.integers(0, 256, (rows, k // 8)).astype(np.uint8) for rows in (m, n))
    out = np.empty((m, n), np.int32)
    pointers = [faiss.swig_ptr(x) for x in (a, b, out)]
    return lambda: faiss.hammings(pointers[0], pointers[1], m, n, k // 8, pointers[2])
