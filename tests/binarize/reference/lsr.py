"""BiPointNet's layer."""

from tests.binarize.reference.case import Array, Case, Params, clipped, sign, sign_activation

FACTOR = {"output.factor": lambda rng, shape: rng.uniform(0.2, 1, shape)}


def weight(w: Array, p: Params):
    c = w - w.mean()

    def back(g: Array) -> Array:
        h = g * clipped(c)
        return h - h.mean()

    return sign(c), back


def scale(y: Array, x: Array, p: Params):
    factor = float(p["output.factor"])
    return y * factor, lambda g: (g * factor, {"output.factor": (g * y).sum()})


CASES = [Case(weight, sign_activation(clipped), scale, parameters=FACTOR)]
