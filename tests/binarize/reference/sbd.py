"""SBD: the value is the product of the factors in the buffers; the diagonal solves its normal equations."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params


def weight(w: Array, p: Params):
    u, d, v = (p[f"weight_binarizer.{n}"] for n in "udv")
    flat = w.reshape(len(w), -1)
    assert set(np.unique(u)) | set(np.unique(v)) <= {-1.0, 1.0}
    value = np.zeros_like(flat)
    for k in range(len(d)):
        value += d[k] * np.outer(u[:, k], v[k])
    # the residual is orthogonal to every term: d is the least-squares solution
    for k in range(len(d)):
        assert abs(u[:, k] @ (flat - value) @ v[k]) < 1e-3
    assert ((flat - value) ** 2).sum() < (flat**2).sum()
    return value.reshape(w.shape), lambda g: g


CASES = [Case(weight), Case(weight, options={"rank": 2, "sweeps": 1}), Case(weight, options={"rank": 9})]
