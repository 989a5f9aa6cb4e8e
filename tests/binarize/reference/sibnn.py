"""Si-BNN."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, channel, clipped, filters, sign

PARAMETERS = {
    "activation.center": lambda rng, shape: rng.normal(0, 0.3, shape),
    "activation.slope": lambda rng, shape: rng.uniform(0.3, 2, shape),
}


def weight(w: Array, p: Params):
    n, s = w[0].size, sign(w)

    def back(g: Array) -> Array:
        return (1 - 1 / n) * g * clipped(w) + s / n * filters(np.sum, s * g)

    return filters(np.mean, np.abs(w)) * s, back


def activation(x: Array, p: Params):
    center, slope = channel(p["activation.center"]), channel(p["activation.slope"])
    z = (x - center) * slope

    def back(g: Array):
        d = g * ((z > -0.3) & (z < 1))
        own = {
            "activation.center": (-d * slope).sum((0, 2, 3)),
            "activation.slope": (d * (x - center)).sum((0, 2, 3)),
        }
        return d * slope, own

    return (x >= center) * 1.0, back


def fixed(x: Array, p: Params):
    return (x >= 0) * 1.0, lambda g: g * ((x > -0.3) & (x < 1))


CASES = [Case(weight, activation, parameters=PARAMETERS), Case(weight, fixed, options={"learned": False})]
