"""BinaryConnect, deterministic."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, sign


def weight(bound: float):
    return lambda w, p: (bound * sign(w), lambda g: g)


def drawn_in_training(w: Array, p: Params):
    """Eval of stochastic training with real weights."""
    return w, lambda g: g


GLOROT = np.sqrt(1.5 / (4 * 9 + 6 * 9))
CASES = [
    Case(weight(1.0)),
    Case(weight(0.5), options={"bound": 0.5}),
    Case(weight(GLOROT), options={"bound": "glorot"}, groups=(1,)),
    Case(weight(1.0), options={"stochastic": True}, trains=False),
    Case(drawn_in_training, options={"stochastic": True, "inference": "real"}, trains=False),
]
