"""BNN."""

from tests.binarize.reference.case import Array, Case, Params, clipped, sign, sign_activation, triangle


def weight(w: Array, p: Params):
    return sign(w), lambda g: g


CASES = [
    Case(weight, sign_activation(clipped)),
    Case(weight, sign_activation(triangle), options={"estimator": "approxsign"}),
]
