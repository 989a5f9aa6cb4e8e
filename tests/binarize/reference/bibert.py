"""BiBERT: sign of the centred row, scale of the row as it is; {0,1} inputs."""

import numpy as np
from tests.binarize.reference.case import (
    Array,
    Case,
    Params,
    clipped,
    clipped_open,
    filters,
    sign,
    sign_activation,
)


def weight(scaled: bool = False):
    def quantize(w: Array, p: Params):
        v, alpha = w - filters(np.mean, w), filters(np.mean, np.abs(w))

        def back(g: Array):
            gv = g * clipped(v) * (alpha if scaled else 1)
            return gv - filters(np.mean, gv)

        return alpha * sign(v), back

    return quantize


def boolean(x: Array, p: Params):
    return (x >= 0) * 1.0, lambda g: g * clipped_open(x)


CASES = [
    Case(weight(), sign_activation(clipped)),
    Case(weight(), boolean, options={"levels": "bool"}),
    Case(weight(True), sign_activation(clipped), options={"gradient": "scaled"}),
]
