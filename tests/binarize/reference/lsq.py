"""LSQ: the value and its derivatives, case by case."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, filters, sign


def quantizer(name: str, low: int, high: int, per_sample: bool):
    def quantize(v: Array, p: Params):
        s = float(p[name][0])
        n = v[0].size if per_sample else v.size
        r = v / s
        value = s * np.round(np.clip(r, low, high))

        def back(g: Array):
            ds = np.where(r <= low, low, np.where(r >= high, high, np.round(r) - r))
            return g * ((r > low) & (r < high)), {name: (g * ds).sum() / np.sqrt(n * high)}

        return value, back

    return quantize


def one_bit(w: Array, p: Params):
    alpha = filters(np.mean, np.abs(w))
    return alpha * sign(w), lambda g: alpha * g * clipped(w)


def weight(k: int):
    return quantizer("weight_binarizer.step", -(2 ** (k - 1)), 2 ** (k - 1) - 1, False)


def activation(k: int, signed: bool = False):
    low, high = (-(2 ** (k - 1)), 2 ** (k - 1) - 1) if signed else (0, 2**k - 1)
    return quantizer("activation.step", low, high, True)


def steps(*names: str):
    return {f"{n}.step": lambda rng, shape: rng.uniform(0.2, 0.5, shape) for n in names}


BOTH = steps("weight_binarizer", "activation")
CASES = [
    Case(weight(2), activation(2), parameters=BOTH),
    Case(weight(4), activation(3), options={"w_bits": 4, "a_bits": 3}, parameters=BOTH),
    Case(weight(3), activation(4, True), options={"w_bits": 3, "a_bits": 4, "signed": True}, parameters=BOTH),
    Case(one_bit, activation(8), options={"w_bits": 1, "a_bits": 8}, parameters=steps("activation")),
]
