"""RBNN. The rotation as one matrix: vec(R1^T X R2) = (R1 kron R2)^T vec(X)."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, channel, filters, schedule, sign

THETA = {
    "weight_binarizer.theta": lambda rng, shape: rng.uniform(0.2, 3, shape),
    "output.factor": lambda rng, shape: rng.normal(0, 1, shape),
}
K, T = schedule(0.01, 10)


def taa(x: Array, k: float, t: float) -> Array:
    return np.maximum(0, k * (np.sqrt(2) * t - t**2 * np.abs(x)))


def standardized(x: Array):
    """Rows to mean 0 and standard deviation 1 (n - 1), and the backward."""
    n = x[0].size
    centred = x - filters(np.mean, x)
    sd = np.sqrt(filters(np.sum, centred**2) / (n - 1))
    z = centred / sd

    def back(g: Array) -> Array:
        gc = (g - z * filters(np.sum, g * z) / (n - 1)) / sd
        return gc - filters(np.mean, gc)

    return z, back


def weight(code: bool):
    def quantize(w: Array, p: Params):
        rotation = np.kron(p["weight_binarizer.rotation1"], p["weight_binarizer.rotation2"]).T
        theta = p["weight_binarizer.theta"].reshape(-1, 1)
        z, through = standardized(w)
        flat = z.reshape(len(w), -1)
        turned = flat @ rotation.T
        share = np.abs(np.sin(theta))
        mixed = flat + share * (turned - flat)

        def back(g: Array):
            h = g.reshape(len(w), -1) * taa(mixed, K, T)
            gz = (1 - share) * h + (0 if code else share * (h @ rotation))
            own = (h * (turned - flat)).sum(1) * (np.sign(np.sin(theta)) * np.cos(theta))[:, 0]
            return through(gz.reshape(w.shape)), {"weight_binarizer.theta": own}

        return sign(mixed).reshape(w.shape), back

    return quantize


def activation(x: Array, p: Params):
    z, through = standardized(x)
    return sign(z), lambda g: through(g * taa(z, 1.0, max(T, 1.0)))


def scale(y: Array, x: Array, p: Params):
    factor = channel(p["output.factor"])
    return y * factor, lambda g: (g * factor, {"output.factor": (g * y).sum((0, 2, 3))})


CASES = [
    Case(weight(code=False), activation, scale, parameters=THETA),
    Case(weight(code=True), activation, scale, options={"backward": "code"}, parameters=THETA),
]
