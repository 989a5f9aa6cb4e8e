"""Bitwise Neural Networks, stage two."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, ones, sign, sign_activation


def weight(sparsity: float):
    def quantize(w: Array, p: Params):
        zeros = round(sparsity * w.size)
        value = sign(w)
        if zeros:
            value = value.copy()
            value.ravel()[np.argsort(np.abs(w).ravel())[:zeros]] = 0
        return value, lambda g: g

    return quantize


CASES = [Case(weight(s), sign_activation(ones), options={"sparsity": s}) for s in (0.0, 1 / 3, 0.9)]
