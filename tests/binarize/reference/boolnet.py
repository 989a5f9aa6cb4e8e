"""BoolNet at epoch 3: T = 0.965^3, alpha differentiated; slices of the channels."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, filters, sign, sign_activation

T = 0.965**3


def weight(variant: str):
    def quantize(w: Array, p: Params):
        alpha, value = filters(np.mean, np.abs(w)), np.clip(w / T, -1, 1)
        slope = {"window": clipped(w), "identity": 1.0, "exact": (np.abs(w) <= T) / T}[variant]
        return alpha * value, lambda g: alpha * g * slope + sign(w) * filters(np.mean, g * value)

    return quantize


def final(w: Array, p: Params):
    return filters(np.mean, np.abs(w)) * sign(w), lambda g: g


def slices(x: Array, p: Params):
    z = x + np.array([-2 / 3, -1 / 3, 1 / 3, 2 / 3]).reshape(1, 4, 1, 1)
    return sign(z), lambda g: g * clipped(z)


CASES = [
    *(
        Case(weight(v), sign_activation(clipped), options={"gradient": v}, evaluates=False)
        for v in ("window", "identity", "exact")
    ),
    Case(weight("window"), slices, options={"slices": 4}, evaluates=False),
    Case(final, slices, options={"slices": 4}, trains=False),
]
