"""Multi-bit neighbours: LSQ, PACT, affine; their levels in deployment, and mixed networks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitwright.binarize import LayerShape, get_method, initialize_from_data
from bitwright.nn import BinaryConv2d, BinaryLinear, binarize_

SHAPE = LayerShape("linear", 8, 4)


def activation(method: str, **options: Any) -> Any:
    part = get_method(method, **options).build_activation(SHAPE)
    assert part is not None
    return part


def test_lsq_starts_from_weights_and_data() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(8, 4, method="lsq", w_bits=3, a_bits=4)
    step = layer.weight_binarizer.step
    assert float(step.detach()) == pytest.approx(2 * float(layer.weight.detach().abs().mean()) / math.sqrt(3))
    x = torch.rand(16, 8)
    initialize_from_data(layer, x)
    assert float(layer.activation.step.detach()) == pytest.approx(2 * float(x.abs().mean()) / math.sqrt(15))


def test_lsq_step_gradient_is_the_papers() -> None:
    part = activation("lsq", a_bits=2)
    with torch.no_grad():
        part.step.fill_(0.5)
    x = torch.tensor([[-1.0, 0.1, 0.6, 1.4, 1.5, 3.0]], requires_grad=True)
    y = part(x)
    assert y.tolist() == [[0.0, 0.0, 0.5, 1.5, 1.5, 1.5]]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 1, 1, 1, 0, 0]]
    wanted = (0 + (0 - 0.2) + (1 - 1.2) + (3 - 2.8) + 3 + 3) / math.sqrt(6 * 3)
    assert float(part.step.grad) == pytest.approx(wanted, rel=1e-6)


def test_pact_vector() -> None:
    part = activation("pact", a_bits=2, alpha=1.5)
    x = torch.tensor([-0.2, 0.2, 0.3, 1.4, 1.5, 9.0], requires_grad=True)
    y = part(x)
    torch.testing.assert_close(y, torch.tensor([0.0, 0.0, 0.5, 1.5, 1.5, 1.5]))
    (y * torch.tensor([1.0, 2, 3, 4, 5, 6])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 0, 0]
    assert float(part.alpha.grad) == 11.0


@pytest.mark.parametrize("signed", [True, False])
def test_affine_range_of_the_data(signed: bool) -> None:
    part = activation("affine", a_bits=4, signed=signed)
    x = torch.linspace(-0.5, 2.5, 301)
    part.initialize_from(x)
    y = part(x)
    levels = y.unique()
    assert len(levels) in (15, 16)  # the zero point is rounded, so one end may lie outside of the range
    assert 0.0 in levels.tolist()
    assert float((y - x.clamp(-0.5 if signed else 0, 2.5)).abs().max()) <= 0.51 * float(part.step)


def test_affine_dynamic_samples_do_not_see_each_other() -> None:
    part = activation("affine", a_bits=4, dynamic=True)
    x = torch.randn(3, 8) * torch.tensor([[0.1], [1.0], [30.0]])
    together = part(x)
    for i in range(3):
        assert torch.equal(part(x[i : i + 1])[0], together[i])
    torch.testing.assert_close(together, x, rtol=0, atol=float(x.abs().max() / 14 + 1e-6))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 8])
def test_affine_weights_are_close_and_have_a_zero(bits: int, symmetric: bool) -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 6, 3, method="affine", w_bits=bits, symmetric=symmetric)
    with torch.no_grad():
        layer.weight[:, 0, 0, 0] = 0
    w, value = layer.weight.detach(), layer.binary
    step = (w.amax((1, 2, 3)) - w.amin((1, 2, 3))) / (2**bits - 2)
    assert ((w - value).abs().amax((1, 2, 3)) <= step + 1e-6).all()
    assert (value[:, 0, 0, 0].abs() <= 1e-4 * step).all()  # a sum of float planes
    for row in value:
        assert len(row.unique()) <= 2**bits


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("lsq", {"w_bits": 1}),
        ("lsq", {"w_bits": 1, "signed": True}),
        ("pact", {"w_bits": 1}),
        ("affine", {"w_bits": 1}),
        ("affine", {"w_bits": 1, "signed": False}),
        ("affine", {"w_bits": 1, "dynamic": True}),
    ],
)
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_training_value_is_the_deployed_one_at_every_tie(method: str, options: dict[str, Any], bits: int) -> None:
    """The same float expression decides: no value near a rounding boundary falls on different sides."""
    torch.manual_seed(bits)
    layer = BinaryLinear(400, 3, method=method, a_bits=bits, **options)
    part: Any = layer.activation
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.mul_(0.7 + 0.1 * bits)
    step = 0.3 if options.get("dynamic") else float(part.step_and_zero()[0].detach())
    x = (torch.arange(-200, 200).float() + 0.5) * step
    for _ in range(3):
        x = torch.stack([x, torch.nextafter(x, torch.full_like(x, 9e9)), torch.nextafter(x, torch.full_like(x, -9e9))])
        x = x.reshape(-1, 400)
        with torch.no_grad():
            wanted, got = layer.train()(x), layer.eval()(x)
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_mixed_networks() -> None:
    """W1A8, W2A2 and W1A1 layers in one network, by rule."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Flatten(),
        nn.Linear(512, 5),
    )
    binarize_(
        net,
        "bnn",
        rules={"2": {"method": "affine", "w_bits": 1, "a_bits": 8}, "4": {"method": "lsq", "w_bits": 2, "a_bits": 2}},
    )
    x = torch.randn(4, 3, 8, 8)
    initialize_from_data(net, x)
    net.eval()
    with torch.no_grad():
        assert torch.isfinite(net(x)).all()
    terms = [net[i].binary_terms() for i in (2, 4, 6)]
    assert [(len(t.weights), len(t.activations)) for t in terms] == [(1, 2), (3, 1), (1, 1)]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="2 <= bits <= 8"):
        BinaryLinear(4, 4, method="lsq", a_bits=1)
    with pytest.raises(ValueError, match="2 <= bits <= 8"):
        BinaryLinear(4, 4, method="affine", w_bits=9)
    with pytest.raises(ValueError, match="pad_value must be 0"):
        BinaryConv2d(4, 4, 3, padding=1, pad_value=1, method="affine")
    with pytest.raises(ValueError, match="alpha must be a positive"):
        BinaryLinear(4, 4, method="pact", alpha=0)
    with pytest.raises(ValueError, match="activations must be 'real' or 'sign'"):
        get_method("lab", activations="relu")


def test_finite_differences_of_the_clipping_value() -> None:
    """Where nothing rounds differently the value is linear in alpha: PACT's gradient is exact at the top level."""
    part = activation("pact", a_bits=3, alpha=2.0).double()
    x = torch.tensor([5.0, 3.0], dtype=torch.float64)
    part(x).sum().backward()

    def total(alpha: float) -> Tensor:
        with torch.no_grad():
            part.alpha.fill_(alpha)
            return part(x).sum()

    assert float(part.alpha.grad) == pytest.approx(float(total(2.001) - total(1.999)) / 0.002)
