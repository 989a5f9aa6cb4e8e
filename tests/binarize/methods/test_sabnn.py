"""SA-BNN: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.binarize.against import (
    activation_part,
    close,
    differentiate,
    random_rows,
    weight_part,
)

from bitwright.binarize import (
    UnknownNameError,
    get_method,
)


def test_sabnn_vectors() -> None:
    x = np.array([[-1.5, -0.4, 0.3, 1.2]])
    a = activation_part("sabnn", 4, minus=0.5, plus=2.0)
    value, grad, raw = differentiate(a, x, np.ones((1, 4)), a.estimator.raw)
    close(value, [[-1, -1, 1, 1]])
    close(grad, [[0, 0.5, 2, 0]], 1e-7)
    # the coefficients are softplus(raw): their gradients -1.4 and 1.3 times its slope
    close(raw, np.array([-1.4, 1.3]) / (1 + np.exp(-a.estimator.raw.detach().numpy())), 1e-7)


def test_sabnn_targets() -> None:
    x, _ = random_rows(0, 3, 20)
    for target in ("weights", "activations", "both"):
        options = {"target": target, "learned": False, "minus": 0.5, "plus": 2.0}
        slopes = {
            "weights": differentiate(weight_part("sabnn", 3, 20, **options), x, np.ones_like(x))[1],
            "activations": differentiate(activation_part("sabnn", 20, **options), x, np.ones_like(x))[1],
        }
        for part, slope in slopes.items():
            if part == "weights":
                slope = slope / np.abs(x).mean(1, keepdims=True)
            aware = target in (part, "both")
            expected = np.where(x < 0, 0.5, 2.0) if aware else np.ones_like(x)
            close(slope, expected * (np.abs(x) <= 1))
    with pytest.raises(UnknownNameError, match="both"):
        get_method("sabnn", target="gradients")
