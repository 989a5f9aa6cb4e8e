"""Affine quantization with a scale and a zero point."""

import numpy as np
from tests.binarize.reference.case import AXES, Array, Case, Params, clipped, filters, sign


def weight(k: int, per_channel: bool, symmetric: bool):
    def quantize(w: Array, p: Params):
        axes = AXES if per_channel else (0, 1, 2, 3)
        if symmetric:
            s = np.abs(w).max(axes, keepdims=True) / (2 ** (k - 1) - 1)
            value = s * np.round(w / s)
        else:
            low, high = np.minimum(w.min(axes, keepdims=True), 0), np.maximum(w.max(axes, keepdims=True), 0)
            s = (high - low) / (2**k - 1)
            z = np.round(-low / s)
            value = s * (np.clip(np.round(w / s) + z, 0, 2**k - 1) - z)
        return value, lambda g: g

    return quantize


def one_bit(w: Array, p: Params):
    alpha = filters(np.mean, np.abs(w))
    return alpha * sign(w), lambda g: alpha * g * clipped(w)


def static(k: int):
    def quantize(x: Array, p: Params):
        s, z = float(p["activation.step"][0]), float(p["activation.zero"][0])
        low, high = -z * s, (2**k - 1 - z) * s
        value = s * (np.clip(np.round(x / s + z), 0, 2**k - 1) - z)
        return value, lambda g: g * ((x >= low) & (x <= high))

    return quantize


def dynamic(k: int, signed: bool):
    def quantize(x: Array, p: Params):
        top = 2 ** (k - 1) - 1 if signed else 2**k - 1
        s = filters(np.max, np.abs(x) if signed else x) / top
        value = s * np.round(x / s) if signed else s * np.round(np.maximum(x, 0) / s)
        return value, lambda g: g if signed else g * (x >= 0)

    return quantize


RANGE = {
    "activation.step": lambda rng, shape: rng.uniform(0.05, 0.1, shape),
    "activation.zero": lambda rng, shape: np.full(shape, 7.0),
}
CASES = [
    Case(weight(8, True, True), static(8), parameters=RANGE),
    Case(weight(4, False, True), static(4), parameters=RANGE, options={"w_bits": 4, "a_bits": 4, "per_channel": False}),
    Case(weight(3, True, False), static(5), parameters=RANGE, options={"w_bits": 3, "a_bits": 5, "symmetric": False}),
    Case(one_bit, dynamic(8, True), options={"w_bits": 1, "dynamic": True}),
    Case(one_bit, dynamic(4, False), options={"w_bits": 1, "a_bits": 4, "dynamic": True, "signed": False}),
    Case(weight(2, True, True), None, options={"w_bits": 2, "a_bits": 32}),
]
