"""PokeBNN: the floor quantizers as they are printed."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, filters


def floor_quantizer(v: Array, bound: Array | float) -> tuple[Array, Array]:
    edge = 1 - 2.0**-7
    z = np.clip(v / bound, -edge, edge)
    return bound * (np.floor(z) + 0.5), (np.abs(v) < edge * bound) * 1.0


def weight(w: Array, p: Params):
    value, slope = floor_quantizer(w, filters(np.max, np.abs(w)))
    return value, lambda g: g * slope


def activation(bound: float):
    def quantize(x: Array, p: Params):
        value, slope = floor_quantizer(x, bound)
        return value, lambda g: g * slope

    return quantize


CASES = [Case(weight, activation(3.0)), Case(weight, activation(1.0), options={"bound": 1.0})]
