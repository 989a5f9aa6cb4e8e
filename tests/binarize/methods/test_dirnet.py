"""DIR-Net: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.binarize.against import differentiate, random_rows, weight_part

from bitwright.binarize import (
    get_estimator,
    set_progress,
)


def test_dirnet_without_eps_is_irnet() -> None:
    w, g = random_rows(0, 4, 20)
    for epoch in (0, 5, 9):
        parts = [weight_part("irnet", 4, 20), weight_part("dirnet", 4, 20, eps=0.0)]
        for part in parts:
            set_progress(part, epoch=epoch, epochs=10)
        for one, other in zip(differentiate(parts[0], w, g), differentiate(parts[1], w, g), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_dirnet_keeps_the_share_and_falls_with_eps() -> None:
    x = torch.tensor(random_rows(2, 2000)[0])
    previous = math.inf
    for eps in (0.0, 0.05, 0.2, 0.6, 1.0):
        estimator = get_estimator("dte", eps=eps).double()
        estimator.at(0.97)
        t = float(estimator.steepness(x))
        assert t <= previous
        previous = t
        assert float((estimator.derivative(x) >= 0.1 * (1 - 1e-9)).double().mean()) >= eps
    assert t < float(estimator.t)


def test_dirnet_refuses_impossible_shares() -> None:
    for bad in ({"eps": 1.1}, {"eps": -0.1}, {"delta": 0.6}, {"delta": 0.0}):
        with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
            get_estimator("dte", **bad)
