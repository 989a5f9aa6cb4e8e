"""TTQ."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params


def weight(ratio: float):
    def quantize(w: Array, p: Params):
        up, down = p["weight_binarizer.up"], p["weight_binarizer.down"]
        delta = ratio * np.abs(w).max()
        plus, minus = w > delta, w < -delta

        def back(g: Array):
            grads = {"weight_binarizer.up": g[plus].sum(), "weight_binarizer.down": -g[minus].sum()}
            return g * np.where(plus, up, np.where(minus, down, 1.0)), grads

        return np.where(plus, up, np.where(minus, -down, 0.0)), back

    return quantize


SCALES = {f"weight_binarizer.{n}": lambda rng, shape: rng.uniform(0.3, 1.5, shape) for n in ("up", "down")}
CASES = [Case(weight(r), options={"ratio": r}, parameters=s) for r in (0.05, 0.3) for s in ({}, SCALES)]
