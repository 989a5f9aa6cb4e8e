"""BONN: modulation and the kernel loss."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, sign, sign_activation


def weight(w: Array, p: Params):
    m = p["weight_binarizer.factor"]

    def back(g: Array):
        inside = g * (np.abs(m * w) <= 1)
        return inside * m, {"weight_binarizer.factor": (inside * w).sum((0, 1))[None, None]}

    return m.mean() * sign(w), back


def loss(strength: float, nu: float):
    def compute(w: Array, p: Params):
        m = p["weight_binarizer.factor"]
        mu, sigma = (p[f"regularizer.{n}"].reshape(-1, 1, 1, 1) for n in ("mu", "sigma"))
        error = m * w - m.mean() * sign(w)
        away = np.abs(w) - mu
        total = strength / 2 * ((error**2).sum() + nu * (away**2 / sigma**2 + np.log(sigma**2)).sum())
        gw = strength * (m * error + nu / sigma**2 * (w - sign(w) * mu))
        rates = {
            "weight_binarizer.factor": strength * (error * w).sum((0, 1))[None, None],
        }
        return total, (gw, rates)

    return compute


PARAMETERS = {
    "weight_binarizer.factor": lambda rng, shape: rng.normal(0.8, 0.6, shape),
    "regularizer.mu": lambda rng, shape: rng.uniform(0.2, 1, shape),
    "regularizer.sigma": lambda rng, shape: rng.uniform(0.2, 1, shape),
}
CASES = [
    Case(weight, sign_activation(clipped), parameters=PARAMETERS, loss=loss(1e-4, 1e-3)),
    Case(
        weight,
        sign_activation(clipped),
        parameters=PARAMETERS,
        options={"strength": 0.3, "spread": 0.7},
        loss=loss(0.3, 0.7),
    ),
]
