"""ReCU: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.binarize.against import C0, W0, close, differentiate, printed, weight_part

from bitwright.binarize import (
    UnknownNameError,
    after_step,
    get_estimator,
    get_method,
    set_progress,
)
from bitwright.nn import BinaryLinear


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (
            0.0,
            [[-16.205314, -13.591775, 10.455136, 19.341953], [-4.166329, 0.470308, 7.879250, -4.183229]],
        ),
        (
            1.0,
            [[-9.409917, -8.167702, 4.966116, 12.611502], [-4.183002, -0.252243, 7.005706, -2.570461]],
        ),
    ],
)
def test_recu_vectors(fraction: float, expected: list[list[float]]) -> None:
    part = weight_part("recu", 2, 4)
    part.estimator.at(fraction)
    z = part.normalize(torch.tensor(W0))
    printed(z, [[3.210047, -3.638053, 0.642009, -0.214003], [-2.993765, 3.538086, -1.360802, 0.816481]])
    assert float(part.estimator.bound(z)) == pytest.approx({0.0: 2.470138, 1.0: 8.026125}[fraction], rel=1e-6)
    assert float(z.abs().mean()) == pytest.approx(2.051656, rel=1e-6)
    value, grad = differentiate(part, W0, C0)
    close(value, np.where(W0.mean(1, keepdims=True) <= W0, 1, -1))
    printed(grad, expected)
    close(grad.sum(1), 0)


@pytest.mark.parametrize(("epoch", "tau"), [(0, 0.85), (150, 0.873141), (300, 0.902856), (450, 0.941010), (600, 0.99)])
def test_recu_schedule(epoch: int, tau: float) -> None:
    part = weight_part("recu", 2, 4)
    set_progress(part, epoch=epoch, epochs=600)
    assert float(part.estimator.tau) == pytest.approx(tau, abs=5e-7)


def test_recu_in_place_clamps_the_stored_weight() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(64, 8, method="recu", clamp="in_place")
    before = layer.weight.detach().clone()
    part = layer.weight_binarizer
    bound = float(part.estimator.bound(part.normalize(before)))
    outside = part.normalize(before).abs() > bound
    assert outside.any()
    after_step(layer)
    assert torch.equal(layer.weight[~outside], before[~outside])
    # seen with the old mean and spread, the tails lie at the bound
    mean, std = before.mean(1, keepdim=True), torch.sqrt(before.var(1, keepdim=True) + 1e-5)
    torch.testing.assert_close(
        (2 * math.sqrt(2) * (layer.weight.detach() - mean) / std).abs()[outside],
        torch.full((int(outside.sum()),), bound),
    )


def test_recu_refuses() -> None:
    with pytest.raises(UnknownNameError, match="graph"):
        get_method("recu", clamp="both")
    with pytest.raises(ValueError, match=r"0\.4"):
        get_estimator("recu", tau_min=0.4)
