"""PokeBNN, BiDet and S2-BNN: vectors."""

from __future__ import annotations

import torch

from bitwright.binarize import LayerShape, get_method
from bitwright.nn import BinaryConv2d, BinaryLinear


def test_pokebnn_levels_and_window() -> None:
    layer = BinaryLinear(8, 1, method="pokebnn", dtype=torch.float64)
    layer.set_latent(torch.full((1, 8), 2.0, dtype=torch.float64))
    values = [-3.5, -2.98, -2.97, -0.4, 0, 0.3, 2.97, 2.98]
    x = torch.tensor([values], dtype=torch.float64, requires_grad=True)
    y = layer(x)
    y.backward()
    assert y.item() == 0
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0, 1, 1, 1, 1, 1, 0]]
    positive = layer.eval()(torch.full((1, 8), 0.1, dtype=torch.float64))
    assert positive.item() == 8 * 1.5


def test_pokebnn_weights() -> None:
    w = torch.tensor([[0.5, -0.3, 0.2, 0.1]], dtype=torch.float64, requires_grad=True)
    value = get_method("pokebnn").build_weight(LayerShape("linear", 4, 1))(w)
    value.sum().backward()
    assert value.tolist() == [[0.25, -0.25, 0.25, 0.25]]
    assert w.grad is not None
    assert w.grad.tolist() == [[0, 1, 1, 1]]


def test_bidet_padding_of_minus_one() -> None:
    layer = BinaryConv2d(3, 1, 3, padding=1, pad_value=-1, method="bidet").eval()
    layer.set_latent(torch.ones(1, 3, 3, 3))
    with torch.no_grad():
        assert torch.equal(layer(-torch.ones(1, 3, 4, 4)), torch.full((1, 1, 4, 4), -27.0))


def test_s2bnn_is_reactnet() -> None:
    assert get_method("s2bnn").parts == get_method("reactnet").parts
