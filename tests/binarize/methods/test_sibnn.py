"""Si-BNN: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.binarize.against import (
    activation_part,
    close,
    differentiate,
    weight_part,
)

from bitwright.binarize import (
    clip_latent_,
)
from bitwright.nn import BinaryConv2d, BinaryLinear


def test_sibnn_vectors() -> None:
    layer = BinaryLinear(4, 1, method="sibnn")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -0.3, 0.2, 1.4]]))
    clip_latent_(layer)
    part = weight_part("sibnn", 1, 4)
    value, grad = differentiate(part, layer.weight.detach().double().numpy(), np.array([[1.0, 2, 3, 4]]))
    close(value, [[0.5, -0.5, 0.5, 0.5]], 1e-7)
    close(grad, [[2.25, 0, 3.75, 4.5]], 1e-7)
    z = np.array([[-0.5, -0.3, -0.1, 0.4, 1, 1.2]])
    value, grad = differentiate(activation_part("sibnn", 6), z, np.ones((1, 6)))
    close(value, [[0, 0, 0, 1, 1, 1]])
    close(grad, [[0, 0, 1, 1, 0, 0]])


def test_sibnn_steepness_cannot_turn_a_comparison_around() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(6, 3, method="sibnn")
    x = torch.randn(50, 6)
    layer.eval()
    with torch.no_grad():
        layer.activation.center.normal_()
        before = layer(x)
        layer.activation.slope.copy_(torch.tensor([-1.0, 0, 1e-30, 2, -3, 1e-45]))
        assert torch.equal(layer(x), before)
        torch.testing.assert_close(layer.train()(x), before)


def test_sibnn_starts_narrow() -> None:
    weight = BinaryConv2d(64, 64, 3, method="sibnn").weight.detach()
    assert float(weight.std()) == pytest.approx(1 / 576, rel=0.02)
    assert float(BinaryLinear(8, 8, method="sibnn", learned=False).activation.low) == 0
