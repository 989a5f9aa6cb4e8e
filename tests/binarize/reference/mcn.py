"""MCN: modulation kernels."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, sign
from tests.binarize.reference.pcnn import versions


def setting(count: int, groups: int, scale: float | None = None, absolute: bool = False, strength: float = 1e-4):
    def parts(w: Array, p: Params):
        kernels = p["weight_binarizer.kernels"]
        a = np.abs(w).mean() if scale is None else scale
        return kernels, np.abs(kernels) if absolute else kernels, a * sign(w), versions(w, 6, groups, count)

    def weight(w: Array, p: Params):
        kernels, used, binary, rows = parts(w, p)

        def back(g: Array):
            gw, gm = np.zeros_like(w), np.zeros_like(kernels)
            for delta, (f, j) in zip(g, rows, strict=True):
                gw[f] += delta * used[j]
                full = (delta * binary[f]).sum(0, keepdims=True)
                gm[j] += full if full.shape == gm[j].shape else full.sum()
            return gw, {"weight_binarizer.kernels": gm * np.sign(kernels) if absolute else gm}

        return np.stack([binary[f] * used[j] for f, j in rows]), back

    def loss(w: Array, p: Params):
        kernels, used, binary, rows = parts(w, p)
        total, gw, gm = 0.0, np.zeros_like(w), np.zeros_like(kernels)
        for f, j in rows:
            e = w[f] - binary[f] * used[j]
            total += strength / 2 * (e**2).sum()
            gw[f] += strength * e
            full = -strength * (e * binary[f]).sum(0, keepdims=True)
            gm[j] += full if full.shape == gm[j].shape else full.sum()
        return total, (gw, {"weight_binarizer.kernels": gm * np.sign(kernels) if absolute else gm})

    return {"weight": weight, "loss": loss, "groups": (groups,)}


KERNELS = {"weight_binarizer.kernels": lambda rng, shape: rng.normal(0.5, 1, shape)}
CASES = [
    *(Case(**setting(4, g), parameters=KERNELS) for g in (1, 2)),
    *(Case(**setting(n, 1), options={"planes": n}, parameters=KERNELS) for n in (1, 2, 3)),
    Case(**setting(3, 2), options={"planes": 3, "scalar": True}, parameters=KERNELS),
    Case(
        **setting(2, 1, 0.02, True, 0.5),
        options={"planes": 2, "scale": 0.02, "absolute": True, "strength": 0.5},
        parameters=KERNELS,
    ),
]
