"""DoReFa-Net: k-bit weights and activations."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, sign


def one_bit(w: Array, p: Params):
    return np.abs(w).mean() * sign(w), lambda g: g


def k_bits(k: int, detach: bool):
    def quantize(w: Array, p: Params):
        n, t = 2**k - 1, np.tanh(w)
        m = np.abs(t).max()
        value = 2 * np.round(n * (t / (2 * m) + 0.5)) / n - 1

        def back(g: Array) -> Array:
            gt = g / m
            if not detach:
                top = np.unravel_index(np.abs(t).argmax(), t.shape)
                gt[top] -= np.sign(t[top]) * (g * t).sum() / m**2
            return gt * (1 - t**2)

        return value, back

    return quantize


def activation(k: int):
    n = 2**k - 1
    return lambda x, p: (np.round(np.clip(x, 0, 1) * n) / n, lambda g: g * ((x >= 0) & (x <= 1)))


CASES = [
    Case(one_bit, activation(1)),
    Case(one_bit, activation(3), options={"a_bits": 3}),
    Case(one_bit, None, options={"a_bits": 32}),
    Case(k_bits(2, False), activation(2), options={"w_bits": 2, "a_bits": 2}),
    Case(k_bits(4, True), activation(1), options={"w_bits": 4, "detach_max": True}),
]
