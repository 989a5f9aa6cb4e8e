"""TWN."""

import numpy as np
from tests.binarize.reference.case import AXES, Array, Case, Params


def weight(axes, ratio: float = 0.7):
    def quantize(w: Array, p: Params):
        delta = ratio * np.abs(w).mean(axes, keepdims=True)
        kept = np.abs(w) > delta
        alpha = np.where(kept, np.abs(w), 0).sum(axes, keepdims=True) / kept.sum(axes, keepdims=True)
        return alpha * np.sign(w) * kept, lambda g: g

    return quantize


CASES = [
    Case(weight(AXES)),
    Case(weight((0, 1, 2, 3)), options={"granularity": "layer"}),
    Case(weight(AXES, 0.5), options={"ratio": 0.5}),
]
