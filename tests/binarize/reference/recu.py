"""ReCU."""

import numpy as np
from tests.binarize.reference.case import AXES, Array, Case, Params, filters, sign, triangle
from tests.binarize.reference.rbnn import scale

EPOCH = 3 / 8
FACTOR = {"output.factor": lambda rng, shape: rng.uniform(0.1, 1, shape)}


def weight(low: float = 0.85, high: float = 0.99, cut: bool = True):
    a = (high - low) / (np.e - 1)
    tau = a * np.exp(EPOCH) + low - a

    def quantize(w: Array, p: Params):
        n = w[0].size
        centred = w - filters(np.mean, w)
        sd = np.sqrt(filters(np.sum, centred**2) / (n - 1) + 1e-5)
        z = np.sqrt(8) * centred / sd
        bound = -np.abs(z).mean() * np.log(2 - 2 * tau)

        def back(g: Array) -> Array:
            gz = g * (np.abs(z) <= bound) if cut else g
            # z_i = sqrt(8) c_i / sd(c), d sd / d c_j = c_j / ((n - 1) sd), then the mean is removed
            gc = np.sqrt(8) * (gz / sd - centred * filters(np.sum, gz * centred) / ((n - 1) * sd**3))
            return gc - filters(np.mean, gc)

        return sign(centred), back

    return quantize


def activation(x: Array, p: Params):
    n = x[0].size
    mean = x.mean(AXES, keepdims=True)
    sd = np.sqrt(((x - mean) ** 2).sum(AXES, keepdims=True) / (n - 1) + 1e-5)

    def back(g: Array) -> Array:
        gz = g * triangle(x / sd)
        return gz / sd - (x - mean) * (gz * x).sum(AXES, keepdims=True) / ((n - 1) * sd**3)

    return sign(x), back


CASES = [
    Case(weight(), activation, scale, parameters=FACTOR),
    Case(weight(0.6, 0.7), activation, scale, options={"tau_min": 0.6, "tau_max": 0.7}, parameters=FACTOR),
    Case(weight(cut=False), activation, scale, options={"clamp": "in_place"}, parameters=FACTOR),
]
