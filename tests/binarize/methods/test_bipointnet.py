"""BiPointNet's lsr and ema: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.binarize import (
    UnknownNameError,
    initialize_from_data,
)
from bitwright.binarize.methods.ema import pooling_shift
from bitwright.nn import BinaryConv2d, BinaryLinear


def test_lsr_starts_with_the_spread_of_the_real_layer_in_convolutions() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(6, 8, 3, padding=1, groups=2, method="lsr", bias=True)
    with torch.no_grad():
        layer.bias.fill_(100.0)
    x = torch.randn(4, 6, 9, 9)
    initialize_from_data(layer, x)
    w = layer.weight - layer.weight.mean()
    real = nn.functional.conv2d(x, w, padding=1, groups=2)
    assert float(layer(x).std()) == pytest.approx(float(real.std()), rel=1e-5)
    assert float(layer(x).mean()) == pytest.approx(100, abs=1)


def test_lsr_needs_a_batch_with_a_spread() -> None:
    layer = BinaryLinear(4, 2, method="lsr")
    with pytest.raises(ValueError, match="standard deviation"):
        initialize_from_data(layer, torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("points", "closed", "table"),
    [
        (20, -1.8242, -1.8268),
        (64, -2.2983, -2.2983),
        (258, -2.7842, -2.7829),
        (1024, -3.2044, -3.2041),
        (2048, -3.3988, -3.4025),
        (4096, -3.5840, -3.5836),
    ],
)
def test_ema_shift(points: int, closed: float, table: float) -> None:
    assert pooling_shift(points) == pytest.approx(closed, abs=6e-5)
    assert pooling_shift(points, table=True) == table
    spec = BinaryLinear(4, 2, method="ema", points=points).binary_spec()
    assert float(spec.activation.threshold) == pytest.approx(-closed, abs=6e-5)


def test_ema_balances_the_sign_of_a_maximum() -> None:
    random = np.random.default_rng(0)
    pooled = random.normal(size=(20000, 64)).max(1)
    assert ((pooled + pooling_shift(64)) >= 0).mean() == pytest.approx(0.5, abs=0.015)
    assert pooling_shift(64, "avg") == 0
    assert pooling_shift(1) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="got 65"):
        pooling_shift(65, table=True)
    with pytest.raises(UnknownNameError, match="avg"):
        pooling_shift(64, "sum")
    with pytest.raises(ValueError, match="got 0"):
        pooling_shift(0)
