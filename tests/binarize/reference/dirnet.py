"""DIR-Net, our reconstruction: the steepness by bisection on the share of elements that keep a slope."""

import numpy as np
from tests.binarize.reference.case import Array, Case, schedule, sign_activation
from tests.binarize.reference.irnet import weight


def slope_at(x: Array, t: float) -> Array:
    return max(1 / t, 1.0) * t * (1 - np.tanh(t * x) ** 2)


def steepness(x: Array, t: float, eps: float, delta: float) -> float:
    """The largest t' <= t at which a share eps of the x has a slope of at least delta."""
    low, high = 1e-6, t
    if (slope_at(x, t) >= delta).mean() >= eps:
        return t
    for _ in range(200):
        middle = (low + high) / 2
        if (slope_at(x, middle) >= delta).mean() >= eps:
            low = middle
        else:
            high = middle
    return low


def dte(t_max: float, eps: float, delta: float):
    _, t = schedule(0.1, t_max)
    return lambda x: slope_at(x, steepness(x, t, eps, delta))


def case(t_max: float = 10.0, eps: float = 0.1, delta: float = 0.1) -> Case:
    slope = dte(t_max, eps, delta)
    options = {"t_max": t_max, "eps": eps, "delta": delta}
    return Case(weight(slope), sign_activation(slope), options=options, tolerance=2e-6)


CASES = [case(), case(t_max=500.0), case(t_max=500.0, eps=0.6, delta=0.3), case(eps=0.0), case(eps=1.0, delta=0.02)]
