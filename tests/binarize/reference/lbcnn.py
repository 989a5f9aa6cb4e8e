"""LBCNN: the anchors are what the layer drew; ReLU; 1x1 convolution."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params


def weight(w: Array, p: Params):
    assert set(np.unique(w)) <= {-1.0, 0.0, 1.0}
    return w, lambda g: 0 * g


def mix(groups: int):
    def output(y: Array, x: Array, p: Params):
        v = p["output.weight"]
        maps = np.split(y, groups, 1)
        rows = np.split(v, groups, 0)
        out = np.concatenate(
            [np.einsum("oi,nihw->nohw", r, np.maximum(m, 0)) for r, m in zip(rows, maps, strict=True)], 1
        )

        def back(g: Array):
            parts = np.split(g, groups, 1)
            gy = [np.einsum("oi,nohw->nihw", r, q) * (m > 0) for r, m, q in zip(rows, maps, parts, strict=True)]
            gv = [np.einsum("nohw,nihw->oi", q, np.maximum(m, 0)) for m, q in zip(maps, parts, strict=True)]
            return np.concatenate(gy, 1), {"output.weight": np.concatenate(gv, 0)}

        return out, back

    return output


CASES = [
    Case(weight, None, mix(1), groups=(1,)),
    Case(weight, None, mix(2), groups=(2,)),
    Case(weight, None, mix(1), options={"anchors": 10, "sparsity": 0.9}, groups=(1,)),
    Case(weight, None, mix(2), options={"anchors": 4, "replacement": False}, groups=(2,)),
]
