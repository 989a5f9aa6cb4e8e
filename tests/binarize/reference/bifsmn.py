"""BiFSMN: centred over the layer; the released code's scales."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, filters, sign, sign_activation


def weight(center: str, window: bool = False):
    def quantize(w: Array, p: Params):
        mean = {"layer": np.mean, "filter": lambda v: filters(np.mean, v), "none": lambda v: 0 * v.mean()}[center]
        v = w - mean(w)
        alpha = np.abs(v).mean((2, 3), keepdims=True) if window else filters(np.mean, np.abs(v))

        def back(g: Array):
            gv = alpha * g * clipped(v)
            return gv - mean(gv)

        return alpha * sign(v), back

    return quantize


CASES = [
    *(Case(weight(c), sign_activation(clipped), options={"center": c}) for c in ("layer", "filter", "none")),
    Case(weight("layer", True), sign_activation(clipped), options={"released_scales": True}),
]
