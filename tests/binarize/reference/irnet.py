"""IR-Net."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, ede, filters, sign, sign_activation


def weight(slope):
    def quantize(w: Array, p: Params):
        n = w[0].size
        centred = w - filters(np.mean, w)
        sd = np.sqrt(filters(np.sum, centred**2) / (n - 1))
        v = centred / sd
        s = 2.0 ** np.round(np.log2(filters(np.mean, np.abs(v))))

        def back(g: Array) -> Array:
            gv = s * g * slope(v)
            # d v_i / d c_j = (delta_ij - v_i v_j / (n - 1)) / sd, then the mean is removed
            gc = (gv - v * filters(np.sum, gv * v) / (n - 1)) / sd
            return gc - filters(np.mean, gc)

        return s * sign(v), back

    return quantize


CASES = [
    Case(weight(ede()), sign_activation(ede())),
    Case(weight(ede(1e-3)), sign_activation(ede(1e-3)), options={"t_min": 1e-3}),
]
