"""Published vectors and what is special: PCNN, BONN, MCN."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bitwright.binarize import after_step, get_method, regularization
from bitwright.nn import BinaryConv2d, BinaryLinear, NotPackableError


def close(actual: Any, expected: Any, tol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), atol=tol, rtol=0)


def kernel(method: str, latent: list[Any], *, out: int = 1, size: int = 2, **options: Any) -> BinaryConv2d:
    """A 2x2 convolution of float64 with one input channel and the given latent weight."""
    layer = BinaryConv2d(1, out, size, method=method, dtype=torch.float64, **options)
    layer.set_latent(torch.tensor(latent, dtype=torch.float64).view(layer.weight.shape))
    return layer


def backward(layer: BinaryConv2d, g: list[Any]) -> Tensor:
    """The gradient of the latent weight when `g` arrives at the value."""
    value = layer.weight_binarizer(layer.weight)
    layer.zero_grad()
    value.backward(torch.tensor(g, dtype=torch.float64).view_as(value))
    assert layer.weight.grad is not None
    return layer.weight.grad.flatten()


def pcnn(**options: Any) -> BinaryConv2d:
    layer = kernel("pcnn", [0.4, -0.2, 0.9, -1.5], **options)
    with torch.no_grad():
        layer.weight_binarizer.factor.copy_(torch.tensor([0.5, 1.5, 1, 1]).view(1, 1, 2, 2))
    return layer


def test_pcnn_value_and_gradients() -> None:
    layer = pcnn(strength=0.0)
    close(layer.weight_binarizer(layer.weight).detach().flatten(), [0.75, -0.75, 0.75, -0.75])
    close(backward(layer, [1, -1, 2, 0.5]), [0.5, -1.5, 2, 0])
    close(layer.weight_binarizer.factor.grad.flatten(), [0.4, 0.2, 1.8, 0])
    assert regularization(layer) is None


def test_pcnn_projection_loss_sees_the_gradient_of_this_step() -> None:
    plain, layer = pcnn(strength=0.0), pcnn()
    g = [1, -1, 2, 0.5]
    expected_w, expected_m = backward(plain, g).clone(), plain.weight_binarizer.factor.grad.flatten()
    backward(layer, g)
    extra = regularization(layer)
    assert extra is not None
    extra.backward()
    close(layer.weight.grad.flatten() - expected_w, [-2.725e-5, 6.525e-5, 1.7e-5, -7.45e-5])
    found = layer.weight_binarizer.factor.grad.flatten() - expected_m
    close(found, [-2.2345e-5, -9.135e-6, 1.564e-5, 1.113775e-4])


def test_pcnn_without_projection_is_a_layer_scaled_sign() -> None:
    torch.manual_seed(0)
    ours = BinaryLinear(20, 5, method="pcnn", strength=0.0)
    same = BinaryLinear(20, 5, method="dorefa", weight={"gradient": "ste", "estimator": "clipped"}, activation="sign")
    same.set_latent(ours.weight.detach())
    x = torch.randn(3, 20)
    for layer in (ours, same):
        layer(x).square().sum().backward()
    assert torch.equal(ours.binary, same.binary)
    torch.testing.assert_close(ours.weight.grad, same.weight.grad)


def test_pcnn_projections_with_a_positive_mean_are_the_same_filters() -> None:
    layer = kernel("pcnn", [0.4, -0.2, 0.9, -1.5], out=2, projections=2)
    with torch.no_grad():
        layer.weight_binarizer.factor.copy_(torch.tensor([[1, 1, 1, 1], [-1, 1, 1, 1.0]]).view(2, 1, 2, 2))
    assert torch.equal(layer.binary[0], layer.binary[1])
    own = kernel("pcnn", [0.4, -0.2, 0.9, -1.5], out=2, projections=2, forward_mean=False)
    own.load_state_dict(layer.state_dict())
    close(own.binary.flatten(1), [[0.75, -0.75, 0.75, -0.75], [-0.75, -0.75, 0.75, -0.75]])
    with torch.no_grad():
        layer.weight_binarizer.factor[1].neg_()
    assert torch.equal(layer.binary[0], -layer.binary[1])


def test_bonn() -> None:
    layer = kernel("bonn", [0.3, -0.2, 0.1, -0.6])
    binarizer: Any = layer.weight_binarizer
    prior: Any = layer.regularizer
    close(prior.mu.detach(), [0.3])
    close(prior.sigma.detach(), [torch.tensor([0.3, -0.2, 0.1, -0.6], dtype=torch.float64).std(correction=0)])
    with torch.no_grad():
        binarizer.factor.copy_(torch.tensor([0.8, 1.2, 1, 1], dtype=torch.float64).view(1, 1, 2, 2))
        prior.mu.fill_(0.3)
        prior.sigma.fill_(0.2)
    close(layer.binary.flatten(), [1, -1, 1, -1])
    total = regularization(layer)
    assert total is not None
    total.backward()
    close(layer.weight.grad.flatten(), [-6.08e-5, 9.145e-5, -9.05e-5, 3.925e-5])
    close(binarizer.factor.grad.flatten(), [-2.28e-5, -1.52e-5, -9e-6, -2.4e-5])
    close(prior.gradients(layer.weight.detach())[0], [0.0])
    close(prior.gradients(layer.weight.detach())[1], [6.25e-8])
    assert float(total.detach()) == pytest.approx(1.0579122e-4, rel=1e-7)


def test_bonn_keeps_sigma_positive() -> None:
    layer = BinaryLinear(4, 2, method="bonn")
    layer.regularizer.sigma.fill_(-1.0)
    after_step(layer)
    assert layer.regularizer.sigma.tolist() == pytest.approx([1e-3, 1e-3])
    assert get_method("bonn", strength=0.0).parts.regularizer is None


FILTERS = [[[0.2, -0.4], [0.1, 0.3]], [[-0.5, 0.6], [0.7, -0.1]]]
KERNELS = [[[1, 2], [0.5, 1]], [[3, 1], [1, 2.0]]]


def mcn(**options: Any) -> BinaryConv2d:
    layer = BinaryConv2d(2, 2, 2, method="mcn", planes=2, dtype=torch.float64, **{"scale": 0.1, **options})
    layer.set_latent(torch.tensor([FILTERS], dtype=torch.float64))
    with torch.no_grad():
        layer.weight_binarizer.kernels.copy_(torch.tensor(KERNELS).unsqueeze(1))
    return layer


def test_mcn() -> None:
    layer = mcn(strength=0.01)
    first = [[[0.1, -0.2], [0.05, 0.1]], [[-0.1, 0.2], [0.05, -0.1]]]
    second = [[[0.3, -0.1], [0.1, 0.2]], [[-0.3, 0.1], [0.1, -0.2]]]
    close(layer.binary, [first, second], 1e-9)
    backward(layer, [1.0] * 16)
    close(layer.weight.grad[0], [[[4, 3], [1.5, 3]]] * 2)
    close(layer.weight_binarizer.kernels.grad[:, 0], [[[0, 0], [0.2, 0]]] * 2, 1e-9)
    layer.zero_grad()
    total = regularization(layer)
    assert total is not None
    assert float(total.detach()) == pytest.approx(0.008025, rel=1e-9)
    total.backward()
    rates = [[[-0.0005, -0.0006], [-0.0007, -0.0002]], [[-0.0001, -0.0008], [-0.0006, 0]]]
    close(layer.weight_binarizer.kernels.grad[:, 0], rates, 1e-9)


def test_mcn_with_one_kernel_of_ones_is_a_scaled_sign() -> None:
    layer = BinaryConv2d(3, 4, 3, method="mcn", planes=1)
    with torch.no_grad():
        layer.weight_binarizer.kernels.fill_(1)
    sign = torch.where(layer.weight >= 0, 1.0, -1.0)
    torch.testing.assert_close(layer.binary, layer.weight.detach().abs().mean() * sign)


def test_mcn_packs_where_a_channel_has_one_factor() -> None:
    assert len(BinaryConv2d(2, 2, 2, method="mcn", planes=2, scalar=True).eval().binary_terms().weights) == 1
    assert BinaryConv2d(4, 8, 1, method="mcn").eval().binary_terms().weights[0].scale.unique().numel() == 4
    with pytest.raises(NotPackableError, match="method mcn"):
        mcn().eval().binary_terms()


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("pcnn", {"projections": 0}, "positive integer"),
        ("pcnn", {"step": -1.0}, "step=-1"),
        ("bonn", {"spread": 0.0}, "spread=0"),
        ("mcn", {"scale": -1.0}, "scale must be"),
        ("mcn", {"strength": -1.0}, "strength"),
        ("mcn", {"planes": 0}, "positive integer"),
        ("bonn", {"weight": {"value": "median"}}, "median"),
    ],
)
def test_bad_options(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BinaryConv2d(2, 4, 3, method=method, **options)
