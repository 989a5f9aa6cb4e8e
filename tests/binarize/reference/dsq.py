"""DSQ: one number at a time, the derivatives of the soft steps written out."""

import numpy as np
from tests.binarize.reference.case import Array, Case, Params, clipped, sign, sign_activation


def binary(alpha: float):
    k, s = np.log(2 / alpha - 1) / 2, 1 / (1 - alpha)
    return lambda x: s * k * (1 - np.tanh(k * x) ** 2) * clipped(x)


def number(x: float, low: float, high: float, alpha: float, bits: int) -> tuple[float, float, float, float, float]:
    """(value, d/dx, d/dl, d/du, d/dalpha) of one number that is not in the middle of two levels."""
    top = 2**bits - 1
    if x < low:
        return low, 0.0, 1.0, 0.0, 0.0
    if x > high:
        return high, 0.0, 0.0, 1.0, 0.0
    step = (high - low) / top
    i = min(int(np.floor((x - low) / step)), top - 1)
    c = np.log(2 / alpha - 1)
    s = 1 / (1 - alpha)
    v = c * (x - low - (i + 0.5) * step) / step  # k (x - m)
    q = i + (1.0 if v >= 0 else 0.0)
    bell = s * (1 - np.tanh(v) ** 2)
    step_l, step_u = -1 / top, 1 / top
    # v = c ((x - l) / step - i - 1/2)
    v_l = c * (-1 / step - (x - low) / step**2 * step_l)
    v_u = c * (-(x - low) / step**2 * step_u)
    c_a = -2 / alpha**2 / (2 / alpha - 1)
    phi_a = np.tanh(v) / (1 - alpha) ** 2 + bell * v / c * c_a
    return (
        low + step * q,
        bell * c / 2,
        1 + q * step_l + step / 2 * bell * v_l,
        q * step_u + step / 2 * bell * v_u,
        step / 2 * phi_a,
    )


def bounded(prefix: str, bits: int, learned: bool):
    def quantize(x: Array, p: Params):
        low, high, alpha = (float(p[f"{prefix}.quantizer.{name}"]) for name in ("lower", "upper", "alpha"))
        table = np.array([number(v, low, high, alpha, bits) for v in x.flatten()]).T.reshape(5, *x.shape)

        def back(g: Array):
            own = {f"{prefix}.quantizer.{name}": (g * table[2 + i]).sum() for i, name in enumerate(("lower", "upper"))}
            if learned:
                own[f"{prefix}.quantizer.alpha"] = (g * table[4]).sum()
            return g * table[1], own

        return table[0], back

    return quantize


def case(bits: int, learned: bool) -> Case:
    parameters = {}
    for prefix in ("weight_binarizer", "activation"):
        parameters[f"{prefix}.quantizer.lower"] = lambda rng, shape: rng.uniform(-1.2, -0.6, shape)
        parameters[f"{prefix}.quantizer.upper"] = lambda rng, shape: rng.uniform(0.7, 1.5, shape)
        if learned:
            parameters[f"{prefix}.quantizer.alpha"] = lambda rng, shape: rng.uniform(0.05, 0.45, shape)

    options = {"w_bits": bits, "a_bits": bits, "bounds": True, "learn_alpha": learned}

    return Case(
        bounded("weight_binarizer", bits, learned),
        bounded("activation", bits, learned),
        options=options,
        parameters=parameters,
        tolerance=3e-6,
    )


def real(x: Array, p: Params):
    return x, lambda g: g


def sign_weight(slope):
    def quantize(w: Array, p: Params):
        return sign(w), lambda g: g * slope(w)

    return quantize


CASES = [
    Case(sign_weight(binary(0.2)), sign_activation(binary(0.2))),
    Case(sign_weight(binary(0.4)), None, options={"alpha": 0.4, "a_bits": 32}),
    Case(real, sign_activation(binary(0.2)), options={"w_bits": 32}),
    *(case(bits, learned) for bits in (1, 2, 4) for learned in (False, True)),
]
