"""BiPointNet's layer behind a pooling: the shift by bisection of the normal distribution's integral."""

import math

from tests.binarize.reference.case import Array, Case, Params, clipped, sign
from tests.binarize.reference.lsr import FACTOR, scale, weight


def shift(points: int) -> float:
    """delta with P(max of n normals + delta >= 0) = 1/2."""
    low, high = -10.0, 10.0
    for _ in range(200):
        middle = (low + high) / 2
        below = 0.5 * math.erfc(-middle / math.sqrt(2))
        low, high = (middle, high) if below**points < 0.5 else (low, middle)
    return -low


def activation(delta: float):
    def quantize(x: Array, p: Params):
        z = x + delta
        return sign(z), lambda g: g * clipped(z)

    return quantize


def near(delta: float):
    return lambda rng, size: rng.normal(-delta, 0.8, size)


CASES = [
    Case(weight, activation(shift(1024)), scale, parameters=FACTOR, x=near(shift(1024))),
    Case(weight, activation(shift(20)), scale, options={"points": 20}, parameters=FACTOR, x=near(shift(20))),
    Case(weight, activation(0.0), scale, options={"pool": "avg"}, parameters=FACTOR),
    Case(weight, activation(-3.2041), scale, options={"table": True}, parameters=FACTOR, x=near(-3.2041)),
]
