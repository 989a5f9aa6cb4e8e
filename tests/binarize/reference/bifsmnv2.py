"""BiFSMNv2: learned slopes, two signs an activation."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, channel, clipped, filters, sign

WA, AA, SHIFT, OUT = "weight_binarizer.slope", "activation.slope", "activation.shift", "activation.shift_out"


def weight(w: Array, p: Params):
    a, alpha = float(p[WA][0]), filters(np.mean, np.abs(w))
    inside = clipped(a * w)
    return alpha * sign(a * w), lambda g: (alpha * g * inside * a, {WA: (alpha * g * inside * w).sum()})


def activation(x: Array, p: Params):
    a = float(p[AA][0])
    t0, t1, t2 = (channel(t) for t in (*p[SHIFT], p[OUT]))
    b1 = sign(a * (x - t0))
    r = x - b1 - t1
    axes = (2, 3) if len(p[OUT]) > 1 else (1, 2, 3)
    s = np.abs(r).mean(axes, keepdims=True)
    first, second = clipped(a * (x - t0)), clipped(a * r)

    def back(g: Array):
        to_r = g * s * second * a
        to_b1 = g - to_r
        to_z = to_b1 * first * a
        shifts = np.stack([v.sum((0, 2, 3)) for v in (-to_z, -to_r)])
        out = -g.sum((0, 2, 3)) if len(p[OUT]) > 1 else -g.sum(keepdims=True).ravel()
        to_a = (g * s * second * r).sum() + (to_b1 * first * (x - t0)).sum()
        return to_r + to_z, {SHIFT: shifts, OUT: out, AA: to_a}

    return b1 + s * sign(a * r) - t2, back


SET = {
    WA: lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    AA: lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    SHIFT: lambda rng, shape: rng.normal(0, 0.2, shape),
    OUT: lambda rng, shape: rng.normal(0, 0.2, shape),
}
CASES = [
    Case(weight, activation, parameters=SET),
    Case(weight, activation, parameters=SET, options={"scale": "sample"}),
]
