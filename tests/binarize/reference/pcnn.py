"""PCNN: projections; with projections=4 of 3 channels in a group the last filter has fewer versions."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, sign, sign_activation


def versions(w: Array, outputs: int, groups: int, count: int):
    """[(latent filter, version)] of every output channel."""
    inside = outputs // groups
    filters = [i + g * (len(w) // groups) for g in range(groups) for i in range(len(w) // groups)]
    rows = []
    for g in range(groups):
        mine = [(f, j) for f in filters[g * (len(w) // groups) : (g + 1) * (len(w) // groups)] for j in range(count)]
        rows += mine[:inside]
    return rows


def weight(count: int, groups: int, mean: bool = True, strength: float = 1e-4, step: float = 0.01):
    def quantize(w: Array, p: Params):
        factors = p["weight_binarizer.factor"]
        rows = versions(w, 6, groups, count)
        a = np.abs(w).mean()
        value = np.stack([a * sign((factors[j].mean() if mean else factors[j]) * w[f]) for f, j in rows])

        def back(g: Array):
            gw, gm = np.zeros_like(w), np.zeros_like(factors)
            for delta, (f, j), v in zip(g, rows, value, strict=True):
                m, mask = factors[j], np.abs(factors[j] * w[f]) <= 1
                plain = strength * (m * w[f] - v)
                moved = strength * (m * (w[f] + step * delta) - v)
                gw[f] += delta * mask * m + (moved - plain) * m
                extra = moved * (w[f] + step * delta) - plain * w[f]
                gm[j] += (delta * mask * w[f] + extra).sum(0, keepdims=True)
            return gw, {"weight_binarizer.factor": gm}

        return value, back

    return quantize


def loss(count: int, groups: int, strength: float = 1e-4):
    def compute(w: Array, p: Params):
        factors = p["weight_binarizer.factor"]
        a, total = np.abs(w).mean(), 0.0
        gw, gm = np.zeros_like(w), np.zeros_like(factors)
        for f, j in versions(w, 6, groups, count):
            e = factors[j] * w[f] - a * sign(factors[j].mean() * w[f])
            total += strength / 2 * (e**2).sum()
            gw[f] += strength * e * factors[j]
            gm[j] += strength * (e * w[f]).sum(0, keepdims=True)
        return total, (gw, {"weight_binarizer.factor": gm})

    return compute


FACTOR = {"weight_binarizer.factor": lambda rng, shape: rng.normal(0.3, 1, shape)}
activation = sign_activation(clipped)
CASES = [
    *(
        Case(weight(n, g), activation, options={"projections": n}, parameters=FACTOR, groups=(g,), loss=loss(n, g))
        for n in (1, 2, 4)
        for g in (1, 2)
    ),
    Case(
        weight(2, 1, False, 0.5, 0.3),
        activation,
        options={"projections": 2, "forward_mean": False, "strength": 0.5, "step": 0.3},
        parameters=FACTOR,
        groups=(1,),
    ),
    Case(
        weight(1, 1, True, 0.0),
        activation,
        options={"strength": 0.0},
        groups=(1,),
    ),
]
