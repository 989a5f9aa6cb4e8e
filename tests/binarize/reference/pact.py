"""PACT: clipping at alpha; weights as in DoReFa-Net."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params
from tests.binarize.reference.dorefa import k_bits, one_bit


def activation(k: int):
    def quantize(x: Array, p: Params):
        alpha, n = float(p["activation.alpha"][0]), 2**k - 1
        value = np.round(np.clip(x, 0, alpha) * n / alpha) * alpha / n

        def back(g: Array):
            return g * ((x >= 0) & (x < alpha)), {"activation.alpha": g[x >= alpha].sum()}

        return value, back

    return quantize


ALPHA = {"activation.alpha": lambda rng, shape: rng.uniform(0.8, 1.2, shape)}
CASES = [
    Case(k_bits(4, False), activation(4), parameters=ALPHA),
    Case(k_bits(2, False), activation(2), options={"w_bits": 2, "a_bits": 2}, parameters=ALPHA),
    Case(one_bit, activation(3), options={"w_bits": 1, "a_bits": 3}, parameters=ALPHA),
]
