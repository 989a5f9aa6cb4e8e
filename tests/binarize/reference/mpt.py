"""MPT: scores choose among fixed weights."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, sign, sign_activation, triangle


def weight(keep: float, authors: bool = False):
    def quantize(w: Array, p: Params):
        fixed = p["weight_binarizer.fixed"]
        n = w.size
        dropped = int((1 - keep) * n)
        border = np.sort(np.abs(w).ravel())[dropped]
        mask = np.abs(w) >= border
        alpha = (np.abs(fixed) * mask).sum() / (int(keep * n) if authors else n - dropped)
        return alpha * mask * sign(fixed), lambda g: g * fixed * sign(w)

    return quantize


FIXED = {"weight_binarizer.fixed": lambda rng, shape: rng.normal(0, 0.5, shape)}
activation = sign_activation(triangle)
CASES = [
    Case(weight(0.5), activation, parameters=FIXED),
    Case(weight(0.21), activation, parameters=FIXED, options={"keep": 0.21}),
    Case(weight(0.21, True), activation, parameters=FIXED, options={"keep": 0.21, "authors_alpha": True}),
    Case(weight(0.5), parameters=FIXED, options={"activations": "real"}),
]
