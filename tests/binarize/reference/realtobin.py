"""Real-to-Binary: the gate and its gradients by hand. Its input is the layer's, which so gets a second gradient."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, sign, sign_activation


def weight(w: Array, p: Params):
    return sign(w), lambda g: g * clipped(w)


def gate(y: Array, x: Array, p: Params):
    w1, w2 = p["output.squeeze"], p["output.excite"]
    mean = x.mean((2, 3))
    before = mean @ w1.T
    hidden = np.maximum(before, 0)
    factor = 1 / (1 + np.exp(-(hidden @ w2.T)))

    def back(g: Array):
        d = (g * y).sum((2, 3)) * factor * (1 - factor)
        gb = (d @ w2) * (before > 0)
        gx = np.broadcast_to((gb @ w1)[:, :, None, None] / (x.shape[2] * x.shape[3]), x.shape)
        return g * factor[:, :, None, None], {"output.squeeze": gb.T @ mean, "output.excite": d.T @ hidden, "x": gx}

    return y * factor[:, :, None, None], back


CASES = [
    Case(weight, sign_activation(clipped), gate),
    Case(weight, sign_activation(clipped), options={"gate": False}),
]
