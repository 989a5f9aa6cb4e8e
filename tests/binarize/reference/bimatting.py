"""BiMatting: centred filters; three readings of the weight gradient."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, filters, sign, sign_activation


def weight(variant: str):
    def quantize(w: Array, p: Params):
        v = w - filters(np.mean, w)
        alpha, s = filters(np.mean, np.abs(v)), sign(v)

        def back(g: Array):
            gv = g * clipped(v)
            if variant != "ste":
                gv = alpha * gv
            if variant == "exact":
                gv = gv + s * filters(np.mean, g * s)
            return gv - filters(np.mean, gv)

        return alpha * s, back

    return quantize


SHIFT = {"activation.shift": lambda rng, shape: rng.normal(0, 0.3, shape)}
CASES = [
    Case(weight(v), sign_activation(clipped, "activation.shift"), parameters=SHIFT, options={"gradient": v})
    for v in ("ste", "scaled", "exact")
]
