"""What each op means, in numpy, element by element: no tables, no packing, no tricks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from .builder import Geometry

Array = npt.NDArray[Any]


def conv_size(size: int, g: Geometry, k: int) -> int:
    extent = g.dilation[k] * (g.kernel[k] - 1) + 1
    return (size + g.pad_begin[k] + g.pad_end[k] - extent) // g.stride[k] + 1


def taps(g: Geometry) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(k) for k in g.kernel)))


def source(g: Geometry, o: tuple[int, ...], tap: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...] | None:
    """The input coordinate that output o reads through a tap; None in the padding."""
    at = []
    for k in range(3):
        if g.transposed:
            reach = o[k] + g.pad_begin[k] - tap[k] * g.dilation[k]
            if reach % g.stride[k]:
                return None
            i = reach // g.stride[k]
        else:
            i = o[k] * g.stride[k] - g.pad_begin[k] + tap[k] * g.dilation[k]
            if g.pad_mode == 3:
                i = min(max(i, 0), size[k] - 1)
        if not 0 <= i < size[k]:
            return None
        at.append(i)
    return tuple(at)


def conv(x: Array, weight: Array, out: tuple[int, ...], g: Geometry, pad: float = 0.0) -> Array:
    """x [N,D,H,W,C], weight [O,T,C/groups], in float64; a tap in the padding reads `pad`."""
    n, channels, outputs = x.shape[0], x.shape[4], weight.shape[0]
    per_in, per_out = channels // g.groups, outputs // g.groups
    y = np.zeros((n, *out, outputs))
    for o in itertools.product(*(range(s) for s in out)):
        for t, tap in enumerate(taps(g)):
            at = source(g, o, tap, x.shape[1:4])
            pixel = np.full((n, channels), pad) if at is None else x[(slice(None), *at)].astype(np.float64)
            for q in range(g.groups):
                rows = slice(q * per_out, (q + 1) * per_out)
                y[(slice(None), *o, rows)] += pixel[:, q * per_in : (q + 1) * per_in] @ weight[rows, t].T.astype(
                    np.float64
                )
    return y


def pool(x: Array, kind: int, out: tuple[int, ...], g: Geometry) -> Array:
    n, channels = x.shape[0], x.shape[4]
    y = np.zeros((n, *out, channels))
    for o in itertools.product(*(range(s) for s in out)):
        inside = [x[(slice(None), *at)] for tap in taps(g) if (at := source(g, o, tap, x.shape[1:4])) is not None]
        values = np.stack(inside).astype(np.float64)
        if kind == 1:
            y[(slice(None), *o)] = values.max(0)
            continue
        divisor = len(inside)
        if kind == 3:
            divisor = 1
            for k in range(3):
                starts = [o[k] * g.stride[k] - g.pad_begin[k] + t * g.dilation[k] for t in range(g.kernel[k])]
                divisor *= sum(s < x.shape[1 + k] + g.pad_end[k] for s in starts)
        y[(slice(None), *o)] = values.sum(0) / divisor
    return y
