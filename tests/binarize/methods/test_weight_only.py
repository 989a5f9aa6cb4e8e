"""Published vectors and what is special: BinaryConnect, Bitwise Neural Networks, LAB, LBCNN, ternary methods."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitwright.binarize import (
    LayerShape,
    after_step,
    before_step,
    get_method,
    set_progress,
    set_stage,
)
from bitwright.binarize.weights.bounded import glorot
from bitwright.nn import BinaryConv2d, BinaryLinear, binarize_
from bitwright.optim import parameter_groups


def close(actual: Tensor, expected: Any, tol: float = 2e-6) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), atol=tol, rtol=0)


def linear(method: str, rows: list[list[float]], **options: Any) -> BinaryLinear:
    layer = BinaryLinear(len(rows[0]), len(rows), method=method, dtype=torch.float64, **options)
    layer.set_latent(torch.tensor(rows, dtype=torch.float64))
    return layer


# ---------------------------------------------------------------- BinaryConnect
def test_binaryconnect_probability() -> None:
    part: Any = get_method("binaryconnect", stochastic=True).build_weight(LayerShape("linear", 4, 1))
    close(part.probability(torch.tensor([0.3, -2.0, 2.0, 0.0])), [0.65, 0, 1, 0.5], 1e-7)


def test_binaryconnect_drawn_weights_have_the_latent_weight_as_mean() -> None:
    torch.manual_seed(0)
    rows = [[0.3, -0.8, 1.5, -2.0, 0.0]]
    layer = linear("binaryconnect", rows, stochastic=True)
    draws = torch.stack([layer.weight_binarizer(layer.weight.detach()) for _ in range(4000)])
    assert set(draws.unique().tolist()) == {-1.0, 1.0}
    close(draws.mean(0), torch.tensor(rows).clamp(-1, 1), 0.06)
    y = layer.eval()(torch.ones(1, 5, dtype=torch.float64))
    assert y.item() == 1 - 1 + 1 - 1 + 1
    real = linear("binaryconnect", rows, stochastic=True, inference="real").eval()
    assert real(torch.ones(1, 5, dtype=torch.float64)).item() == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("shape", "factor"),
    [
        (LayerShape("conv", 128, 128, (3, 3)), 39.191836),
        (LayerShape("linear", 8192, 1024), 78.383677),
        (LayerShape("linear", 784, 2048), 43.451121),
    ],
)
def test_binaryconnect_learning_rate_scale(shape: LayerShape, factor: float) -> None:
    assert 1 / glorot(shape) == pytest.approx(factor, rel=1e-7)
    part: Any = get_method("binaryconnect").build_weight(shape)
    assert part.parameter_options()["latent"]["lr_factor"] == pytest.approx(factor, rel=1e-7)
    squared: Any = get_method("binaryconnect", lr_scale="glorot_squared").build_weight(shape)
    assert squared.parameter_options()["latent"]["lr_factor"] == pytest.approx(factor**2, rel=1e-6)


def test_binaryconnect_learning_rates_reach_the_optimizer() -> None:
    net = nn.Sequential(
        nn.Linear(8, 6),
        BinaryLinear(6, 6, bias=True, method="binaryconnect"),
        BinaryLinear(6, 4, method="binaryconnect"),
        BinaryLinear(4, 2, method="bnn"),
        BinaryLinear(2, 2, method="pact"),
    )
    groups = parameter_groups(net, weight_decay=0.1)
    factors = {id(p): g["lr_factor"] for g in groups for p in g["params"]}
    assert len(factors) == len(list(net.parameters()))
    assert factors[id(net[1].weight)] == pytest.approx(math.sqrt(12 / 1.5))
    assert factors[id(net[2].weight)] == pytest.approx(math.sqrt(10 / 1.5))
    assert factors[id(net[3].weight)] == factors[id(net[1].bias)] == 1.0
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert decays[id(net[4].activation.alpha)] == 1e-4
    assert decays[id(net[0].weight)] == 0.1


def test_binaryconnect_clips_after_the_scaled_step() -> None:
    layer = linear("binaryconnect", [[0.95, 0.0]])
    with torch.no_grad():
        layer.weight += 39.19 * torch.tensor([[0.01, 0.01]], dtype=torch.float64)
    after_step(layer)
    close(layer.weight.detach(), [[1.0, 0.3919]], 1e-12)


# ---------------------------------------------------------------- Bitwise Neural Networks
BITWISE = [0.9, -0.05, 0.3, -0.6, 0.02, -0.2]


def test_bitwise_sparsity() -> None:
    layer = linear("bitwisenn", [BITWISE], sparsity=1 / 3)
    assert layer.binary.tolist() == [[1, 0, 1, -1, 0, -1]]
    assert linear("bitwisenn", [BITWISE]).binary.tolist() == [[1, -1, 1, -1, 1, -1]]
    for share in (0.1, 0.5, 0.99):
        torch.manual_seed(0)
        big = BinaryLinear(40, 25, method="bitwisenn", sparsity=share)
        assert int((big.binary == 0).sum()) == round(share * 1000)
    with pytest.raises(ValueError, match="sparsity"):
        BinaryLinear(4, 4, method="bitwisenn", sparsity=1.0)


def test_bitwise_first_stage() -> None:
    layer = linear("bitwisenn", [BITWISE])
    set_stage(layer, "float")
    w = layer.weight_binarizer.real(layer.weight)
    close(w.detach()[0], [0.716298, -0.049958, 0.291313, -0.53705, 0.019997, -0.197375])
    w.sum().backward()
    assert layer.weight.grad is not None
    close(layer.weight.grad[0], [0.486917, 0.997504, 0.915137, 0.711578, 0.9996, 0.961043])
    biased = BinaryLinear(2, 1, bias=True, method="bitwisenn")
    with torch.no_grad():
        biased.bias.fill_(-0.3)
    x = torch.tensor([[0.4, -2.0]])
    set_stage(biased, "float")
    expected = torch.tanh(x) @ torch.tanh(biased.weight).T + math.tanh(-0.3)
    torch.testing.assert_close(biased(x), expected)
    set_stage(biased, "full")
    for mode in (True, False):
        y = biased.train(mode)(x)
        torch.testing.assert_close(y, torch.tensor([[1.0, -1.0]]) @ biased.binary.T - 1)
    assert biased.binary_spec().bias is not None
    assert biased.binary_spec().bias.tolist() == [-1.0]


def test_bitwise_gradient_has_no_saturation() -> None:
    layer = linear("bitwisenn", [[0.9, -3.0]])
    x = torch.tensor([[50.0, -0.1]], dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1.0, -1.0]]


# ---------------------------------------------------------------- LAB
def lab(d: list[float] | None = None) -> BinaryLinear:
    layer = linear("lab", [[0.5, -0.25, 1.0, -0.75]])
    if d is not None:
        layer.weight_binarizer.second_moment.copy_(torch.tensor([d], dtype=torch.float64).square())
    return layer


def test_lab_scale() -> None:
    assert float(lab().binary.abs()[0, 0]) == pytest.approx(0.625)
    assert float(lab([1.0, 4, 1, 2]).binary.abs()[0, 0]) == pytest.approx(0.5)
    assert float(lab([3.0, 12, 3, 6]).binary.abs()[0, 0]) == pytest.approx(0.5)
    for i, expected in enumerate([0.5, 0.25, 1.0, 0.75]):
        one = [1.0 if j == i else 0.0 for j in range(4)]
        assert float(lab(one).binary.abs()[0, 0]) == pytest.approx(expected, abs=1e-6)


def test_lab_scale_minimises_the_weighted_distance() -> None:
    w, d = torch.tensor([0.5, -0.25, 1.0, -0.75]), torch.tensor([1.0, 4, 1, 2])
    b = torch.where(w >= 0, 1.0, -1.0)

    def cost(alpha: float) -> float:
        return float((d * (alpha * b - w).square()).sum())

    assert cost(0.5) == pytest.approx(0.625)
    assert cost(0.51) == pytest.approx(0.6258, abs=1e-4)
    assert cost(0.49) == pytest.approx(0.6258, abs=1e-4)


def test_lab_curvature_follows_the_gradients_of_earlier_steps() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(6, 3, method="lab").double()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    v = torch.zeros(3, 6, dtype=torch.float64)
    for _ in range(4):
        d = v.sqrt() + 1e-8
        alpha = (d * layer.weight.detach().abs()).sum() / d.sum()
        torch.testing.assert_close(layer.binary.abs(), alpha.expand(3, 6).to(layer.binary.dtype), rtol=1e-6, atol=0)
        x = torch.randn(5, 6, dtype=torch.float64)
        y = layer(x)
        optimizer.zero_grad()
        y.square().sum().backward()
        g = 2 * y.detach().T @ x
        torch.testing.assert_close(layer.weight.grad, g)
        before_step(layer)
        v = 0.999 * v + 0.001 * g.square()
        torch.testing.assert_close(layer.weight_binarizer.second_moment, v)
        optimizer.step()
        after_step(layer)


def test_lab_transposed_layers_keep_statistics_in_filter_form() -> None:
    from bitwright.nn import BinaryConvTranspose2d

    torch.manual_seed(0)
    layer = BinaryConvTranspose2d(4, 6, 3, groups=2, method="lab")
    layer(torch.randn(2, 4, 5, 5)).square().sum().backward()
    before_step(layer)
    expected = 0.001 * layer._to_filters(layer.weight.grad).square()
    torch.testing.assert_close(layer.weight_binarizer.second_moment, expected)


# ---------------------------------------------------------------- LBCNN
@pytest.mark.parametrize(("sparsity", "density"), [(0.5, 0.3935), (0.9, 0.5934), (1.0, 0.6321)])
def test_lbcnn_density(sparsity: float, density: float) -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(64, 128, 3, method="lbcnn", sparsity=sparsity)
    assert float((layer.weight != 0).float().mean()) == pytest.approx(density, abs=0.006)
    exact = BinaryConv2d(64, 128, 3, method="lbcnn", sparsity=sparsity, replacement=False)
    assert int((exact.weight != 0).sum()) == int(sparsity * 64 * 128 * 9)
    assert abs(float(layer.weight.sum())) < 0.02 * layer.weight.numel()


def test_lbcnn_draws_as_many_as_the_code() -> None:
    layer = BinaryConv2d(384, 384, 3, method="lbcnn", anchors=704, sparsity=0.001, replacement=False)
    assert int((layer.weight != 0).sum()) == 2433
    assert layer.weight.shape == (704, 384, 3, 3)
    assert layer.output.weight.shape == (384, 704)


def test_lbcnn_anchors_never_move() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 6, 3, padding=1, method="lbcnn", anchors=12)
    before, mix = layer.weight.detach().clone(), layer.output.weight.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        layer(torch.randn(2, 4, 6, 6)).square().mean().backward()
        optimizer.step()
    assert torch.equal(layer.weight, before)
    assert layer.weight.grad is None
    assert not torch.equal(layer.output.weight, mix)


def test_lbcnn_converted_layers_keep_their_own_anchors() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)
    )
    binarize_(net, "lbcnn")
    assert set(net[2].weight.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert not net[2].weight.requires_grad


# ---------------------------------------------------------------- ternary weights and inputs
def test_twn_scale_is_the_least_squares_one() -> None:
    torch.manual_seed(0)
    w = torch.randn(3, 50, dtype=torch.float64)
    layer = linear("twn", w.tolist())
    ternary = torch.sign(layer.binary)
    for row, t, value in zip(w, ternary, layer.binary, strict=True):
        best = float((row * t).sum() / t.square().sum())
        assert float(value.abs().max()) == pytest.approx(best)
    close(linear("twn", [[1.0, -0.5, 0.1, -0.2]]).binary[0], [0.75, -0.75, 0, 0])


def test_ttq_regions_and_gradients() -> None:
    layer = linear("ttq", [[1.0, 0.04, -0.5, -0.01]])
    assert float(layer.weight_binarizer.up.detach()) == 1.0
    assert float(layer.weight_binarizer.down.detach()) == 0.5
    with torch.no_grad():
        layer.weight_binarizer.up.fill_(2.0)
        layer.weight_binarizer.down.fill_(3.0)
    w = layer.weight_binarizer(layer.weight)
    assert w.tolist() == [[2.0, 0.0, -3.0, 0.0]]
    (w * torch.tensor([[1.0, 2, 3, 4]])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[2.0, 2.0, 9.0, 4.0]]
    assert float(layer.weight_binarizer.up.grad) == 1.0
    assert float(layer.weight_binarizer.down.grad) == -3.0
    close(layer.binary, [[2.0, 0.0, -3.0, 0.0]])


def test_tbn_vector() -> None:
    activation = get_method("tbn").build_activation(LayerShape("linear", 5, 1))
    assert activation is not None
    assert activation(torch.tensor([[0.1, -0.9, 0.5, 0.3, -0.2]])).tolist() == [[0, -1, 1, 1, -1]]


def test_stochastic_bnn_draws_in_training_only() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(3, 1, method="bnn", stochastic=True, stochastic_weights=True, lr_scale="glorot")
    a = layer.activation
    assert a is not None
    x = torch.tensor([[0.4, -0.6, 2.0]])
    mean = torch.stack([a(x) for _ in range(4000)]).mean(0)
    close(mean, [[0.4, -0.6, 1.0]], 0.06)
    layer.eval()
    assert a(x).tolist() == [[1, -1, 1]]
    assert torch.equal(layer(x), layer(x))
    set_progress(layer, epoch=0, epochs=1)
    with pytest.raises(ValueError, match="pass g unchanged"):
        get_method("bnn", stochastic_weights=True, weight_estimator="clipped")
