"""EBNN: every sample with the weights of its own expert, one after the other."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped_open, convolve, sign, sign_activation


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def excite(y: Array, x: Array, p: Params):
    """(output, its gradient -> (gradient of y, gradient of x, gradients of the parameters))."""
    alpha, w1, w2 = (p[f"output.{n}"] for n in ("factor", "squeeze", "excite"))
    mean = x.mean((2, 3))
    hidden = np.maximum(mean @ w1.T, 0)
    s = sigmoid(hidden @ w2.T)
    factor = (alpha * s)[:, :, None, None]

    def back(g: Array):
        total = (g * y).sum((2, 3))
        dz = total * alpha * s * (1 - s)
        dh = dz @ w2 * (hidden > 0)
        gx = np.broadcast_to((dh @ w1)[:, :, None, None], x.shape) / (x.shape[2] * x.shape[3])
        grads = {"output.factor": (total * s).sum(0), "output.squeeze": dh.T @ mean, "output.excite": dz.T @ hidden}
        return g * factor, gx, grads

    return y * factor, back


def run(w: Array, x: Array, p: Params, g: Array, groups: int):
    """(output, gradient of w, gradient of x, gradients of the parameters) for the upstream gradient g."""
    v, c = p["weight_binarizer.gate.weight"], p["weight_binarizer.gate.bias"]
    mean = x.mean((2, 3))
    gate = sigmoid(mean @ v.T + c)
    chosen = gate.argmax(1)
    parts = [convolve(sign(x[n : n + 1]), sign(w[e]), groups) for n, e in enumerate(chosen)]
    out, output_back = excite(np.concatenate([y for y, _ in parts]), x, p)
    gy, gx, grads = output_back(g)
    gw, dz = np.zeros_like(w), np.zeros_like(gate)
    gx = gx.copy()
    for n, e in enumerate(chosen):
        g_weight, ga = parts[n][1](gy[n : n + 1])
        g_weight = g_weight * clipped_open(w[e])
        gw[e] += g_weight
        dz[n] = (g_weight * w).sum((1, 2, 3, 4)) * gate[n] * (1 - gate[n])
        gx[n] += ga[0] * clipped_open(x[n])
        gx[n] += (dz[n] @ v)[:, None, None] / (x.shape[2] * x.shape[3])
    grads |= {"weight_binarizer.gate.weight": dz.T @ mean, "weight_binarizer.gate.bias": dz.sum(0)}
    return out, gw, gx, grads


CASES = [
    # one weight for all samples; several experts, with gradients, are compared in tests/binarize/methods/test_ebnn.py
    Case(
        lambda w, p: (sign(w[0]), None),
        sign_activation(clipped_open),
        excite,
        options={"experts": 1},
        trains=False,
    )
]
