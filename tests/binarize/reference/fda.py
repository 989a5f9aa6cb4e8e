"""FDA-BNN: the series term by term, the noise modules by hand. Training and eval mode differ by the noise."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, filters, sign

EPOCH, EPOCHS = 3, 8


def series(x: Array, n: int, omega: float, window: float | None) -> Array:
    total = np.zeros_like(x)
    for i in range(n + 1):
        total += np.cos((2 * i + 1) * omega * x)
    return 4 * omega / np.pi * total * (1.0 if window is None else np.abs(x) <= window)


def noise(rows: Array, f1: Array, f2: Array, alpha: float):
    """alpha (f2 relu(f1 x) + 0.1 sin x) of every row, and the backward: (gradient of rows, f1, f2)."""
    before = rows @ f1.T
    hidden = np.maximum(before, 0)

    def back(g: Array):
        gh = alpha * (g @ f2) * (before > 0)
        return gh @ f1 + alpha * g * 0.1 * np.cos(rows), gh.T @ rows, alpha * g.T @ hidden

    return alpha * (hidden @ f2.T + 0.1 * np.sin(rows)), back


def parts(strength=0.1, n=9, n_end=18, omega=0.1, window: float | None = 1.0, layer=False):
    terms = n + (n_end - n) * EPOCH // EPOCHS
    alpha = strength / 2 * (1 + np.cos(np.pi * (EPOCH + 1) / EPOCHS))

    def weight(w: Array, p: Params):
        f1, f2 = p["weight_binarizer.noise.fc1"], p["weight_binarizer.noise.fc2"]
        s = np.full((len(w), 1, 1, 1), np.abs(w).mean()) if layer else filters(np.mean, np.abs(w))
        extra, through = noise(w.reshape(len(w), -1), f1, f2, alpha)

        def back(g: Array):
            gx, g1, g2 = through((s * g).reshape(len(w), -1))
            own = {"weight_binarizer.noise.fc1": g1, "weight_binarizer.noise.fc2": g2}
            return s * g * series(w, terms, omega, window) + gx.reshape(w.shape), own

        return s * (sign(w) + extra.reshape(w.shape)), back

    def activation(x: Array, p: Params):
        f1, f2 = p["activation.noise.fc1"], p["activation.noise.fc2"]
        rows = x.transpose(0, 2, 3, 1)
        extra, through = noise(rows.reshape(-1, x.shape[1]), f1, f2, alpha)

        def back(g: Array):
            gx, g1, g2 = through(g.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]))
            own = {"activation.noise.fc1": g1, "activation.noise.fc2": g2}
            return g * series(x, terms, omega, window) + gx.reshape(rows.shape).transpose(0, 3, 1, 2), own

        return sign(x) + extra.reshape(rows.shape).transpose(0, 3, 1, 2), back

    return weight, activation


WIDE = {"n": 2, "n_end": 10, "omega": 0.7, "window": None, "strength": 0.8}

CASES = [
    Case(*parts(), evaluates=False),
    Case(*parts(**WIDE), options=WIDE, evaluates=False),
    Case(*parts(layer=True), options={"scale": "layer"}, evaluates=False),
    Case(*parts(strength=0.0), options={"strength": 0.0}),
]
