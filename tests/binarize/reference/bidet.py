"""BiDet: the scale is differentiated."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, filters, sign, sign_activation, triangle


def weight(w: Array, p: Params):
    alpha, s = filters(np.mean, np.abs(w)), sign(w)
    return alpha * s, lambda g: alpha * g + s * filters(np.mean, g * s)


CASES = [Case(weight, sign_activation(triangle))]
