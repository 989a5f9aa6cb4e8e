"""NumKong: Hamming distances of all pairs of rows, the second matrix packed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numkong
import numpy as np

KINDS = {"gemm"}


def make(task: dict[str, Any]) -> Callable[[], None]:
    """See tasks.py."""
    if task["threads"] != 1:
        raise ValueError("numkong runs in the calling thread")
    rng = np.random.default_rng(0)
    m, n, k = task["m"], task["n"], task["k"]
    a, b = (rng.integers(0, 256, (rows, k // 8)).astype(np.uint8) for rows in (m, n))
    left = numkong.Tensor(a).view("uint1") if hasattr(numkong.Tensor, "view") else a
    packed = numkong.hammings_pack(b, dtype="uint1")
    out = numkong.zeros((m, n), dtype="uint32")
    numkong.hammings_packed(left, packed, out=out)
    want = np.bitwise_count(a[:2, None] ^ b[None, :3]).sum(2) if hasattr(np, "bitwise_count") else None
    if want is not None and not np.array_equal(np.asarray(out)[:2, :3], want):
        raise RuntimeError("its distances are not the Hamming distances")
    return lambda: numkong.hammings_packed(left, packed, out=out) and None
