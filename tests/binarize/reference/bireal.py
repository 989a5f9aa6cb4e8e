"""Bi-Real Net: three weight gradients."""

import numpy as np
from tests.binarize.reference.case import (
    Array,
    Case,
    Params,
    clipped,
    clipped_open,
    filters,
    sign,
    sign_activation,
    triangle,
)


def weight(variant: str):
    def quantize(w: Array, p: Params):
        alpha = filters(np.mean, np.abs(w))
        back = {
            "paper": lambda g: g * alpha * clipped_open(w),
            "pytorch": lambda g: g * clipped(w),
            "caffe": lambda g: g,
        }[variant]
        return alpha * sign(w), back

    return quantize


CASES = [
    Case(weight(v), sign_activation(triangle), options={"weight_gradient": v}) for v in ("paper", "pytorch", "caffe")
]
