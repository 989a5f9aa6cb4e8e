"""Multi-prize tickets: published vectors, what stays fixed, conversion."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bitwright.nn import BinaryConv2d, BinaryLinear, binarize_


def test_vector() -> None:
    layer = BinaryLinear(4, 1, method="mpt", dtype=torch.float64)
    fixed = torch.tensor([[0.5, -0.3, 0.2, -0.1]], dtype=torch.float64)
    layer.weight_binarizer.fixed.copy_(fixed)
    layer.set_latent(torch.tensor([[0.1, -0.9, 0.4, 0.05]], dtype=torch.float64))
    value = layer.weight_binarizer(layer.weight)
    torch.testing.assert_close(value.detach(), torch.tensor([[0, -0.25, 0.25, 0]], dtype=torch.float64))
    value.backward(torch.tensor([[1, 2, 3, 4]], dtype=torch.float64))
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.5, 0.6, 0.6, -0.4]], dtype=torch.float64))
    assert torch.equal(layer.weight_binarizer.fixed, fixed)
    assert not any(name.endswith("fixed") for name, _ in layer.named_parameters())


def test_authors_divisor() -> None:
    plain = BinaryConv2d(3, 1, 3, method="mpt", keep=0.2)
    theirs = BinaryConv2d(3, 1, 3, method="mpt", keep=0.2, authors_alpha=True)
    theirs.load_state_dict(plain.state_dict())
    assert int((plain.binary != 0).sum()) == 6
    torch.testing.assert_close(theirs.binary, 1.2 * plain.binary)


@pytest.mark.parametrize(("theory", "share"), [(False, 0.8), (True, 0.2)])
def test_initial_weights(theory: bool, share: float) -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(400, 100, method="mpt", keep=0.2, theory_init=theory)
    expected = math.sqrt(2 / (400 * share))
    assert float(layer.weight_binarizer.fixed.std()) == pytest.approx(expected, rel=0.02)
    same = BinaryLinear(400, 100, method="mpt", keep=0.2, theory_init=theory, constant=True)
    assert same.weight_binarizer.fixed.unique().tolist() == pytest.approx([-expected, expected])


def test_a_converted_layer_looks_for_the_ticket_in_its_own_weights() -> None:
    net = nn.Sequential(nn.Linear(6, 5))
    weight = net[0].weight.detach().clone()
    binarize_(net, "mpt", first_last="binarize")
    assert torch.equal(net[0].weight_binarizer.fixed, weight)
    assert not torch.equal(net[0].weight, weight)
    assert torch.equal(torch.sign(net[0].binary)[net[0].binary != 0], torch.sign(weight)[net[0].binary != 0])


@pytest.mark.parametrize("keep", [0.0, 1.0, -0.5])
def test_bad_share(keep: float) -> None:
    with pytest.raises(ValueError, match="keep"):
        BinaryLinear(4, 4, method="mpt", keep=keep)
    with pytest.raises(ValueError, match="activations"):
        BinaryLinear(4, 4, method="mpt", activations="tanh")
