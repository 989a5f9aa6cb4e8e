"""XNOR-Net: four weight gradients, centring, K."""

import numpy as np
from tests.binarize.reference.case import (
    PAD,
    STRIDE,
    Array,
    Case,
    Params,
    clipped_open,
    filters,
    sign,
    sign_activation,
)


def weight(variant: str, center: bool = True):
    def quantize(w: Array, p: Params):
        v = w - w.mean(1, keepdims=True) if center else w
        n = v[0].size
        alpha = filters(np.mean, np.abs(v))
        mask = np.abs(v) <= 1

        def back(g: Array) -> Array:
            gv = {
                "a": g * (1 / n + alpha * mask),
                "b": np.sign(v) / n * filters(np.sum, g * sign(v)) + alpha * g * mask,
                "c": alpha * g * mask,
                "d": g,
            }[variant]
            return gv - gv.mean(1, keepdims=True) if center else gv

        return alpha * sign(v), back

    return quantize


def scale_map(y: Array, x: Array, p: Params):
    """K of a 3x3 convolution without groups."""
    a = np.pad(np.abs(x).mean(1), ((0, 0), (PAD, PAD), (PAD, PAD)))
    k = np.zeros((len(y), *y.shape[2:]))
    for i in range(k.shape[1]):
        for j in range(k.shape[2]):
            k[:, i, j] = a[:, STRIDE * i : STRIDE * i + 3, STRIDE * j : STRIDE * j + 3].mean((1, 2))
    return y * k[:, None], lambda g: g * k[:, None]


activation = sign_activation(clipped_open)
CASES = [
    *(Case(weight(v), activation, options={"gradient": v}) for v in "abcd"),
    *(Case(weight(v, False), activation, options={"gradient": v, "center": False}) for v in "abcd"),
    Case(weight("b"), activation, scale_map, options={"use_k": True}, groups=(1,)),
]
