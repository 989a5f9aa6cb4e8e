"""XNOR-Net++: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import pytest
import torch
from tests.binarize.against import (
    close,
)
from torch import nn

from bitwright.binarize import (
    get_method,
)
from bitwright.nn import BinaryConv1d, BinaryConv2d, BinaryLinear

ALPHA, BETA, GAMMA = [1.0, 2.0], [1.0, 0.5, 2.0], [3.0, 1.0, 1.0, 0.5]


def scaled_layer(case: int) -> BinaryConv2d:
    options = {} if case == 1 else {"output_size": (3, 4)}
    return BinaryConv2d(2, 2, 3, padding=1, method="xnornetpp", case=case, **options).double()


def test_xnornetpp_vectors() -> None:
    rule = scaled_layer(4).output
    with torch.no_grad():
        for factor, values in zip(rule.factors, (ALPHA, BETA, GAMMA), strict=True):
            factor.copy_(torch.tensor(values))
    assert float(rule.gamma()[1, 2, 0]) == 12
    y = torch.arange(24, dtype=torch.float64).view(1, 2, 3, 4)
    grads = torch.autograd.grad(rule(y, y).sum(), list(rule.factors))
    for grad, expected in zip(grads, ([114.75, 345.75], [145.5, 211.5, 277.5], [138, 148.5, 159, 169.5]), strict=True):
        close(grad, expected)
    counts = [sum(p.numel() for p in scaled_layer(case).output.parameters()) for case in (1, 2, 3, 4)]
    assert counts == [2, 24, 14, 9]


@pytest.mark.parametrize("case", [2, 3, 4])
def test_xnornetpp_cases_start_as_case_1(case: int) -> None:
    torch.manual_seed(0)
    one, other = scaled_layer(1), scaled_layer(case)
    for layer in (one, other):
        layer.set_latent(one.weight.detach().clone())
    close(one.output.factor, one.weight.abs().flatten(1).mean(1).detach())
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64)
    close(one(x), other(x))
    with torch.no_grad():
        close(one.eval()(x), other.eval()(x))


def test_xnornetpp_case_1_before_batch_norm_does_not_matter() -> None:
    torch.manual_seed(0)
    layer, norm = scaled_layer(1), nn.BatchNorm2d(2, eps=1e-12).double()
    x = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    before = norm(layer(x))
    with torch.no_grad():
        layer.output.factor.mul_(torch.tensor([3.0, 0.2], dtype=torch.float64))
    close(norm(layer(x)), before, 1e-9)


def test_xnornetpp_says_what_positions_need() -> None:
    with pytest.raises(ValueError, match="output_size"):
        BinaryConv2d(2, 2, 3, method="xnornetpp", case=4)
    with pytest.raises(ValueError, match="case 1"):
        BinaryLinear(4, 4, method="xnornetpp", case=4)
    with pytest.raises(ValueError, match="got 5"):
        get_method("xnornetpp", case=5)
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(5, 5\)"):
        scaled_layer(4)(torch.randn(1, 2, 5, 5, dtype=torch.float64))
    line = BinaryConv1d(2, 3, 3, method="xnornetpp", case=4, output_size=(6,))
    assert line(torch.randn(1, 2, 8)).shape == (1, 3, 6)
