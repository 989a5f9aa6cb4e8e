"""CI-BCNN: edges given as a matrix of influences [to, from]."""

import math

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, sign, sign_activation


def weight(w: Array, p: Params):
    return sign(w), lambda g: g * clipped(w)


def step(p: float, influence: int, n: int, unit: float) -> float:
    """The definition, interval by interval."""
    size = abs(influence)
    for k in range(size):
        low, high = -n + 2 * n * k / size, -n + 2 * n * (k + 1) / size
        if (p > low or k == 0) and (p <= high or k == size - 1):
            return ((1 - size) / 2 + k) * np.sign(influence) * math.ceil(unit * n)
    raise AssertionError(p)


def interact(n: int, unit: float):
    def output(y: Array, x: Array, p: Params):
        out = y.copy()
        for s, t in np.argwhere(p["output.influence"]):
            k = int(p["output.influence"][s, t])
            out[:, s] += np.vectorize(lambda v, k=k: step(v, k, n, unit))(y[:, t])
        return out, lambda g: g

    return output


def graph(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values = rng.choice([0, 0, 3, -3, 5, -5], shape).astype(float)
    np.fill_diagonal(values, 0)
    return values


EDGES = {"output.influence": graph}
CASES = [
    *(
        Case(weight, sign_activation(clipped), interact(36 // g, u), {"unit": u}, EDGES, groups=(g,))
        for g in (1, 2)
        for u in (0.01, 0.2)
    ),
    Case(weight, sign_activation(clipped)),
]
