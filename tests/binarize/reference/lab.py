"""LAB: curvature-weighted scale."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, sign, sign_activation


def weight(axes):
    def quantize(w: Array, p: Params):
        d = np.sqrt(p["weight_binarizer.second_moment"]) + 1e-8
        alpha = (d * np.abs(w)).sum(axes, keepdims=True) / d.sum(axes, keepdims=True)
        return alpha * sign(w), lambda g: g

    return quantize


SECOND = {"weight_binarizer.second_moment": lambda rng, shape: rng.uniform(0, 2, shape)}
EVERYTHING = (0, 1, 2, 3)
CASES = [
    Case(weight(EVERYTHING)),
    Case(weight(EVERYTHING), parameters=SECOND),
    Case(weight((1, 2, 3)), parameters=SECOND, options={"granularity": "filter"}),
    Case(weight(EVERYTHING), sign_activation(clipped), parameters=SECOND, options={"activations": "sign"}),
]
