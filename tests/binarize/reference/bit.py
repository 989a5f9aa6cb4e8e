"""BiT: elastic binarization, signed and not negative."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, channel, clipped, filters, sign


def weight(w: Array, p: Params):
    v, alpha = w - filters(np.mean, w), filters(np.mean, np.abs(w))

    def back(g: Array):
        gv = g * clipped(v)
        return gv - filters(np.mean, gv)

    return alpha * sign(v), back


def elastic(signed: bool):
    def quantize(x: Array, p: Params):
        alpha, beta = float(p["activation.alpha"][0]), channel(p["activation.beta"])
        r = (x - beta) / alpha
        inside = (np.abs(r) <= 1) if signed else (r >= 0) & (r <= 1)
        level = sign(r) if signed else np.round(np.clip(r, 0, 1))

        def back(g: Array):
            toward = level if signed else level - r * inside
            gx = g * inside
            gb = -gx.sum((0, 2, 3)) if beta.size > 1 else -gx.sum()
            ga = (g * toward).sum() / np.sqrt(x.size)
            return gx, {"activation.alpha": ga, "activation.beta": gb}

        return alpha * level, back

    return quantize


SET = {
    "activation.alpha": lambda rng, shape: rng.uniform(0.5, 0.9, shape),
    "activation.beta": lambda rng, shape: rng.normal(0, 0.2, shape),
}
CASES = [
    Case(weight, elastic(True), parameters=SET),
    Case(weight, elastic(False), parameters=SET, options={"signed": False}),
    Case(weight, elastic(True), parameters=SET, options={"shift": "channel"}),
    Case(weight, elastic(False), parameters=SET, options={"signed": False, "shift": "channel"}),
]
