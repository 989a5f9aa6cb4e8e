"""XNOR-Net++: the four forms of Gamma."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, channel, clipped_open, ones, sign, sign_activation

LETTERS = {2: ["ohw"], 3: ["o", "hw"], 4: ["o", "h", "w"]}


def weight(slope):
    return lambda w, p: (sign(w), lambda g: g * slope(w))


def per_channel(y: Array, x: Array, p: Params):
    factor = channel(p["output.factor"])
    return y * factor, lambda g: (g * factor, {"output.factor": (g * y).sum((0, 2, 3))})


def per_position(case: int):
    letters = LETTERS[case]

    def rule(y: Array, x: Array, p: Params):
        factors = [p[f"output.factors.{i}"] for i in range(len(letters))]
        gamma = np.einsum(",".join(letters) + "->ohw", *factors)

        def back(g: Array):
            own = {}
            for i, letter in enumerate(letters):
                others = [(k, f) for j, (k, f) in enumerate(zip(letters, factors, strict=True)) if j != i]
                names = ",".join(["nohw", "nohw", *(k for k, _ in others)])
                own[f"output.factors.{i}"] = np.einsum(f"{names}->{letter}", y, g, *(f for _, f in others))
            return g * gamma, own

        return y * gamma, back

    return rule


def normal(rng, shape) -> Array:
    return rng.normal(0.3, 1, shape)


CASES = [
    Case(weight(clipped_open), sign_activation(clipped_open), per_channel, parameters={"output.factor": normal}),
    Case(
        weight(ones),
        sign_activation(ones),
        per_channel,
        options={"estimator": "identity", "start": "ones"},
    ),
    *(
        Case(
            weight(clipped_open),
            sign_activation(clipped_open),
            per_position(case),
            options={"case": case, "output_size": (4, 4)},
            parameters={f"output.factors.{i}": normal for i in range(len(LETTERS[case]))},
        )
        for case in (2, 3, 4)
    ),
]
