"""S2-BNN: the binarizers of ReActNet."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, filters, sign, sign_activation, triangle


def weight(w: Array, p: Params):
    return filters(np.mean, np.abs(w)) * sign(w), lambda g: g * clipped(w)


SHIFT = {"activation.shift": lambda rng, shape: rng.normal(0, 0.3, shape)}
CASES = [Case(weight, sign_activation(triangle, "activation.shift"), parameters=SHIFT)]
