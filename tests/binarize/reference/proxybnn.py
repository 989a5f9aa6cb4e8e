"""ProxyBNN, a reconstruction: the sign of A P, with P on the input channels or on whole filters."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, filters, sign, sign_activation, triangle
from tests.binarize.reference.sibnn import activation

BASIS = {"weight_binarizer.basis": lambda rng, shape: np.eye(shape[0]) + rng.normal(0, 0.2, shape)}


def over_input(a: Array, p: Params):
    basis = p["weight_binarizer.basis"]
    w = np.einsum("oihw,ij->ojhw", a, basis)

    def back(g: Array):
        h = g * clipped(w)
        return np.einsum("ojhw,ij->oihw", h, basis), {"weight_binarizer.basis": np.einsum("oihw,ojhw->ij", a, h)}

    return filters(np.mean, np.abs(w)) * sign(w), back


def over_filter(a: Array, p: Params):
    basis, flat = p["weight_binarizer.basis"], a.reshape(len(a), -1)
    w = (flat @ basis).reshape(a.shape)

    def back(g: Array):
        h = (g * clipped(w)).reshape(len(a), -1)
        return (h @ basis.T).reshape(a.shape), {"weight_binarizer.basis": flat.T @ h}

    return filters(np.mean, np.abs(w)) * sign(w), back


CASES = [
    Case(over_input, sign_activation(triangle), parameters=BASIS),
    Case(over_filter, sign_activation(clipped), options={"axis": "filter", "estimator": "clipped"}, parameters=BASIS),
    Case(over_input, activation, options={"start": "orthogonal", "levels": "01"}, parameters=BASIS),
]
