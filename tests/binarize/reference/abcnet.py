"""ABC-Net: bases and their least-squares coefficients (numpy's own solver), comparisons of the input."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, sign

U = {1: (0.0,), 3: (-1.0, 0.0, 1.0), 5: (-2.0, -1.0, 0.0, 1.0, 2.0)}


def fit(w: Array, shifts: tuple[float, ...]) -> tuple[Array, Array]:
    c = w - w.mean()
    bases = np.stack([sign(c + u * np.sqrt((c**2).mean())).ravel() for u in shifts], 1)
    alpha = np.linalg.lstsq(bases, w.ravel(), rcond=1e-9)[0]
    return (bases @ alpha).reshape(w.shape), alpha.sum()


def weight(m: int, channelwise: bool = False):
    def quantize(w: Array, p: Params):
        if not channelwise:
            value, slope = fit(w, U[m])
            return value, lambda g: slope * g
        parts = [fit(row, U[m]) for row in w]
        slopes = np.array([s for _, s in parts]).reshape(-1, 1, 1, 1)
        return np.stack([v for v, _ in parts]), lambda g: slopes * g

    return quantize


def activation(printed: bool = False):
    def quantize(x: Array, p: Params):
        beta, shift = p["activation.coefficient"], p["activation.shift"]
        h = [np.where(np.clip(x + v, 0, 1) >= 0.5, 1.0, -1.0) for v in shift]
        inside = [(np.clip(x + s * v, 0, 1) == x + s * v) * 1.0 for v in shift for s in ((-1 if printed else 1),)]

        def back(g: Array):
            gv = [(b * g * m).sum() for b, m in zip(beta, inside, strict=True)]
            gb = [(g * a).sum() for a in h]
            gx = sum(b * g * m for b, m in zip(beta, inside, strict=True))
            return gx, {"activation.shift": gv, "activation.coefficient": gb}

        return sum(b * a for b, a in zip(beta, h, strict=True)), back

    return quantize


SET = {
    "activation.coefficient": lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    "activation.shift": lambda rng, shape: rng.normal(0, 0.5, shape),
}
CASES = [
    Case(weight(3), activation(), parameters=SET),
    Case(weight(5), activation(), options={"weight_bases": 5}, parameters=SET),
    Case(weight(1), activation(), options={"weight_bases": 1, "activation_bases": 1}, parameters=SET),
    Case(weight(3, True), activation(True), options={"mode": "channel", "mask": "printed"}, parameters=SET),
]
