"""BNext at epoch 3: T = 0.9^3."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, sign, sign_activation


def weight(w: Array, p: Params):
    return np.clip(w / 0.9**3, -1, 1), lambda g: g


def signed(w: Array, p: Params):
    return sign(w), lambda g: g


def window(x: Array) -> Array:
    return (np.abs(x) <= 1.5) * 1.0


SHIFT = {"activation.shift": lambda rng, shape: rng.normal(0, 0.3, shape)}
CASES = [
    Case(weight, sign_activation(window, "activation.shift"), parameters=SHIFT, evaluates=False),
    Case(signed, sign_activation(window, "activation.shift"), parameters=SHIFT, trains=False),
    Case(signed, sign_activation(window, "activation.shift"), parameters=SHIFT, options={"decay": 1e-3}),
]
