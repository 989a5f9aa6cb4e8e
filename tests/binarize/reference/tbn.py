"""TBN: ternary inputs."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, filters, sign


def weight(w: Array, p: Params):
    alpha = filters(np.mean, np.abs(w))
    return alpha * sign(w), lambda g: alpha * g * clipped(w)


def activation(ratio: float):
    def quantize(x: Array, p: Params):
        delta = ratio * filters(np.mean, np.abs(x))
        return 1.0 * (x >= delta) - 1.0 * (x <= -delta), lambda g: g * clipped(x)

    return quantize


CASES = [Case(weight, activation(r), options={"ratio": r}) for r in (0.4, 1.0)]
