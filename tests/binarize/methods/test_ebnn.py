"""EBNN: experts for every sample against the reference, the published vector, stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.binarize.reference.ebnn import run
from torch import nn

from bitwright.binarize import set_stage
from bitwright.nn import BinaryConv2d, BinaryConvTranspose2d, BinaryLinear, binarize_


def decide(layer: Any) -> None:
    """Gates that differ from sample to sample."""
    gate = layer.weight_binarizer.gate
    with torch.no_grad():
        gate.weight.normal_(0, 2)
        gate.bias.zero_()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("experts", [1, 3])
def test_against_the_reference(experts: int, groups: int) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    layer = BinaryConv2d(
        4, 6, 3, stride=2, padding=1, groups=groups, method="ebnn", experts=experts, dtype=torch.float64
    )
    layer.set_latent(torch.from_numpy(rng.normal(0, 0.8, tuple(layer.weight.shape))))
    decide(layer)
    x = torch.from_numpy(rng.normal(0.2, 0.8, (16, 4, 7, 7))).requires_grad_()
    y = layer(x)
    g = rng.normal(size=tuple(y.shape))
    y.backward(torch.from_numpy(g))
    params = {n: v.detach().numpy() for n, v in layer.named_parameters()}
    out, gw, gx, grads = run(params["weight"], x.detach().numpy(), params, g, groups)
    if experts > 1:
        assert len(layer.weight_binarizer.choose(x).argmax(1).unique()) > 1  # type: ignore[operator]
    for actual, expected in ((y, out), (layer.weight.grad, gw), (x.grad, gx)):
        np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-9, atol=1e-9)  # type: ignore[union-attr]
    for name, value in grads.items():
        np.testing.assert_allclose(layer.get_parameter(name).grad.numpy(), value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer.eval()(x).detach().numpy(), out, rtol=1e-9, atol=1e-9)


def test_winner() -> None:
    """The published vector: ties select several experts in the authors' code only; every logit gets a gradient."""
    z = torch.tensor([[0.2, -1, 0.7, 0.7], [1.5, 0.1, -0.3, 0]], dtype=torch.float64, requires_grad=True)
    upstream = torch.tensor([[1.0, 2, 3, 4], [1, 1, 1, 1]], dtype=torch.float64)
    for ties, expected in ((True, [[0, 0, 1, 1], [1, 0, 0, 0]]), (False, [[0, 0, 1, 0], [1, 0, 0, 0]])):
        part: Any = BinaryLinear(4, 2, method="ebnn", sum_ties=ties).weight_binarizer
        z.grad = None
        hot = part.winner(torch.sigmoid(z))
        assert hot.tolist() == expected
        hot.backward(upstream)
        wanted = [[0.247517, 0.393224, 0.665139, 0.886851], [0.149146, 0.249376, 0.244458, 0.25]]
        torch.testing.assert_close(z.grad, torch.tensor(wanted, dtype=torch.float64), atol=1e-6, rtol=0)


def test_saturated_gates_still_choose_the_largest() -> None:
    """sigmoid(30) and sigmoid(40) are both 1 in float32."""
    x = torch.ones(2, 4)
    for ties, expected in ((False, [[0, 1, 0]] * 2), (True, [[1, 1, 0]] * 2)):
        part: Any = BinaryLinear(4, 2, method="ebnn", experts=3, sum_ties=ties).weight_binarizer
        with torch.no_grad():
            part.gate.weight.zero_()
            part.gate.bias.copy_(torch.tensor([30.0, 40.0, 0.0]))
        assert part.choose(x).tolist() == expected
        assert part.chosen(x).tolist() == [1, 1]


def test_a_batch_is_its_samples() -> None:
    torch.manual_seed(0)
    for layer, x in (
        (BinaryConv2d(8, 6, 3, method="ebnn"), torch.randn(9, 8, 5, 5)),
        (BinaryLinear(8, 6, method="ebnn"), torch.randn(9, 4, 8)),
    ):
        decide(layer)
        together = layer(x)
        torch.testing.assert_close(together, torch.cat([layer(x[i : i + 1]) for i in range(9)]))


def test_real_stages_use_the_first_expert_and_conversion_fills_all() -> None:
    net = nn.Sequential(nn.Linear(6, 5))
    weight = net[0].weight.detach().clone()
    binarize_(net, "ebnn", first_last="binarize")
    assert torch.equal(net[0].weight, weight.expand(4, 5, 6))
    set_stage(net, "activations")
    net(torch.randn(3, 6)).sum().backward()
    assert net[0].weight.grad[0].abs().sum() > 0
    assert net[0].weight.grad[1:].abs().sum() == 0


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="experts"):
        BinaryLinear(4, 4, method="ebnn", experts=0)
    with pytest.raises(ValueError, match="no conv_transpose"):
        BinaryConvTranspose2d(4, 4, 3, method="ebnn")
