"""DBF: codes from the Walsh functions' definition, in OVSF order."""

import math

import numpy as np
from tests.binarize.reference.case import Array, Case, Params


def code(index: int, length: int) -> list[int]:
    """Row `index`: bit b of the index (from the top) says whether doubling number b repeats or negates."""
    row = [1]
    for b in range(int(math.log2(length)) - 1, -1, -1):
        row = row + [(-1 if index >> b & 1 else 1) * v for v in row]
    return row


def bank(count: int, length: int, size: int) -> Array:
    return np.array([code(i, length)[:size] for i in range(count)], float)


def weight(groups: int, count: int, length: int):
    def check(w: Array, p: Params):
        codes = bank(count, length, 36 // groups)
        np.testing.assert_array_equal(w.reshape(groups, count, -1), np.stack([codes] * groups))
        return w, lambda g: 0 * g

    return check


def mix(groups: int):
    def output(y: Array, x: Array, p: Params):
        maps, rows = np.split(y, groups, 1), np.split(p["output.weight"], groups, 0)
        out = np.concatenate([np.einsum("oi,nihw->nohw", r, m) for r, m in zip(rows, maps, strict=True)], 1)

        def back(g: Array):
            parts = np.split(g, groups, 1)
            gy = [np.einsum("oi,nohw->nihw", r, q) for r, q in zip(rows, parts, strict=True)]
            gv = [np.einsum("nohw,nihw->oi", q, m) for m, q in zip(maps, parts, strict=True)]
            return np.concatenate(gy, 1), {"output.weight": np.concatenate(gv, 0)}

        return out, back

    return output


def kernels(count: int):
    def quantize(w: Array, p: Params):
        basis = bank(count, 16, 9)
        back = lambda g: np.einsum("oikl,jkl->oij", g, basis.reshape(-1, 3, 3))  # noqa: E731
        return np.einsum("oij,jk->oik", w, basis).reshape(*w.shape[:2], 3, 3), back

    return quantize


CASES = [
    Case(weight(1, 32, 64), None, mix(1), groups=(1,)),
    Case(weight(2, 16, 32), None, mix(2), groups=(2,)),
    Case(weight(1, 7, 64), None, mix(1), options={"share": 0.1}, groups=(1,)),
    Case(kernels(8), options={"granularity": "kernel"}),
    Case(kernels(16), options={"granularity": "kernel", "share": 1.0}),
]
