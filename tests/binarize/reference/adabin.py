"""AdaBin."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, ede, filters, sign, triangle

LEVELS = {
    "activation.alpha": lambda rng, shape: rng.uniform(0.4, 1.3, shape),
    "activation.beta": lambda rng, shape: rng.normal(0.1, 0.3, shape),
}


def weight(slope):
    def quantize(w: Array, p: Params):
        n = w[0].size
        beta = filters(np.mean, w)
        c = w - beta
        alpha = np.sqrt(filters(np.mean, c**2))
        z = c / alpha

        def back(g: Array) -> Array:
            gz = alpha * g * slope(z)
            g_alpha = filters(np.sum, g * sign(z)) - filters(np.sum, gz * z) / alpha
            gc = gz / alpha + g_alpha * c / (n * alpha)
            return gc - filters(np.mean, gc) + filters(np.mean, g)

        return alpha * sign(z) + beta, back

    return quantize


def activation(product: bool):
    def quantize(x: Array, p: Params):
        alpha, beta = float(p["activation.alpha"]), float(p["activation.beta"])
        z = (x - beta) / alpha

        def back(g: Array):
            d = g * triangle(z)
            own = {
                "activation.alpha": (g * sign(z)).sum() - (d * z).sum() + (beta * g.sum() if product else 0.0),
                "activation.beta": g.sum() * (alpha if product else 1.0) - d.sum(),
            }
            return d, own

        return alpha * sign(z) + (alpha * beta if product else beta), back

    return quantize


CASES = [
    Case(weight(ede(1e-3)), activation(product=False), parameters=LEVELS),
    Case(weight(ede(0.1)), activation(product=True), options={"offset": "product", "t_min": 0.1}, parameters=LEVELS),
]
