"""SA-BNN, a reconstruction: coefficients softplus(raw) of the two states."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, filters, sign


def softplus(v: Array) -> Array:
    return np.log1p(np.exp(v))


def aware(x: Array, g: Array, minus: float, plus: float):
    """(gradient of x, gradients of the coefficients)."""
    below = x < 0
    gx = g * np.where(below, minus, plus) * clipped(x)
    return gx, np.array([(g * np.maximum(x, -1) * below).sum(), (g * np.minimum(x, 1) * ~below).sum()])


def slope(name: str, learned: bool, minus: float, plus: float):
    def back(x: Array, g: Array, p: Params):
        if not learned:
            return aware(x, g, minus, plus)[0]
        raw = p[name]
        gx, own = aware(x, g, *softplus(raw))
        return gx, {name: own / (1 + np.exp(-raw))}

    return back


def plain(x: Array, g: Array, p: Params):
    return g * clipped(x)


def case(target: str = "activations", learned: bool = True, minus: float = 1.0, plus: float = 1.0) -> Case:
    backs = {
        "weights": slope("weight_binarizer.estimator.raw", learned, minus, plus),
        "activations": slope("activation.estimator.raw", learned, minus, plus),
    }
    on_w = backs["weights"] if target != "activations" else plain
    on_a = backs["activations"] if target != "weights" else plain

    def weight(w: Array, p: Params):
        alpha = filters(np.mean, np.abs(w))
        return alpha * sign(w), lambda g: on_w(w, alpha * g, p)

    def activation(x: Array, p: Params):
        return sign(x), lambda g: on_a(x, g, p)

    options = {"target": target, "learned": learned, "minus": minus, "plus": plus}
    return Case(weight, activation, options=options)


CASES = [
    case(),
    case(minus=0.4, plus=2.2),
    case("weights", minus=0.4, plus=2.2),
    case("both", minus=1.7, plus=0.6),
    case("both", learned=False, minus=0.5, plus=2.0),
]
