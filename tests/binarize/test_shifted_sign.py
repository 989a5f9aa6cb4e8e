"""Learned shift, sign and gradient in one step: the values and gradients of the composition."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from bitwright.binarize import bsign, replace_value
from bitwright.binarize.activations.sign import SignActivation
from bitwright.binarize.estimators.base import make_estimator
from bitwright.binarize.part import LayerShape

ESTIMATORS = ["approxsign", "clipped", {"name": "clipped", "strict": True}, "window", "halfrange", "swishsign"]


def composition(act: SignActivation, x: Tensor) -> Tensor:
    """The same written with the estimator's slope."""
    shift = act.shift
    z = x if shift is None else x + act.shape.per_channel(shift)
    value = bsign(z.detach())
    return replace_value(z, value if act.low else (value + 1) / 2, act.estimator.derivative(z.detach()))


def inputs(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    x = torch.randn(shape, dtype=dtype)
    edges = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-45, -1e-45, 1e30, -1e30], dtype=dtype)
    x.view(-1)[: len(edges)] = edges
    return x


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("shift", ["none", "channel", "layer"])
@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_value_and_gradients(estimator: object, shift: str, low: float, dtype: torch.dtype, kind: str) -> None:
    torch.manual_seed(0)
    shape = LayerShape(kind, 6, 4, (3, 3) if kind == "conv" else ())
    act = SignActivation(shape, estimator=estimator, shift=shift, low=low).to(dtype)  # type: ignore[arg-type]
    x = inputs((5, 6, 4, 4) if kind == "conv" else (5, 7, 6), dtype).requires_grad_()
    sources = [x]
    if act.shift is not None:
        with torch.no_grad():
            act.shift.normal_()
            act.shift[0] = 0.0
        sources.append(act.shift)
    got, wanted = act(x), composition(act, x)
    assert torch.equal(got, wanted)
    assert set(got.unique().tolist()) == {low, 1.0}
    g = torch.randn_like(x)
    kept = g.clone()
    for mine, other in zip(torch.autograd.grad(got, sources, g), torch.autograd.grad(wanted, sources, g), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6 if dtype == torch.float32 else 1e-14, atol=1e-6)
    assert torch.equal(g, kept)


def test_not_a_number_and_infinities() -> None:
    act = SignActivation(LayerShape("linear", 3, 1), shift="channel", estimator="approxsign")
    x = torch.tensor([[float("nan"), float("inf"), -float("inf")]], requires_grad=True)
    y = act(x)
    assert y.tolist() == [[-1.0, 1.0, -1.0]]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad[0, 1:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_input(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    act = SignActivation(LayerShape("conv", 4, 1, (1, 1)), shift="channel", estimator="approxsign")
    with torch.no_grad():
        act.shift.normal_()  # type: ignore[union-attr]
    x = torch.randn(3, 4, 5, 5).to(dtype).requires_grad_()
    wide = x.detach().float().requires_grad_()
    y, wanted = act(x), composition(act, wide)
    assert y.dtype == dtype
    assert torch.equal(y.float(), wanted)
    g = torch.randn(3, 4, 5, 5).to(dtype)
    mine = torch.autograd.grad(y, [x, act.shift], g)
    other = torch.autograd.grad(wanted, [wide, act.shift], g.float())
    assert torch.equal(mine[0], other[0].to(dtype))
    torch.testing.assert_close(mine[1], other[1])


def test_only_what_is_asked_for() -> None:
    act = SignActivation(LayerShape("linear", 4, 1), shift="channel", estimator="approxsign")
    x = torch.randn(8, 4)
    act(x).sum().backward()
    assert act.shift is not None
    assert act.shift.grad is not None
    assert torch.count_nonzero(act.shift.grad) > 0
    act.shift.requires_grad_(False)
    assert not act(x).requires_grad
    x.requires_grad_()
    act(x).sum().backward()
    assert x.grad is not None


def test_input_changed_before_backward_is_an_error() -> None:
    act = copy.deepcopy(SignActivation(LayerShape("linear", 4, 1), shift="channel", estimator="approxsign"))
    x = torch.randn(8, 4, requires_grad=True)
    h = x * 1
    y = act(h)
    h.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_shift_of_another_width_takes_part_in_promotion() -> None:
    act = SignActivation(LayerShape("linear", 4, 1), shift="channel", estimator="approxsign").double()
    x = torch.zeros(2, 4, requires_grad=True)
    with torch.no_grad():
        act.shift.fill_(-1e-300)  # type: ignore[union-attr]
    y = act(x)
    assert y.dtype == torch.float32
    assert bool((y == -1).all())
    y.sum().backward()
    assert x.grad is not None
    assert bool((x.grad == 2).all())


@pytest.mark.parametrize("name", ["approxsign", "clipped", "window", "halfrange"])
def test_pullback_is_slope_times_gradient(name: str) -> None:
    estimator = make_estimator(name)
    pullback = estimator.pullback()
    assert pullback is not None
    x, g = inputs((200,), torch.float32), torch.randn(200)
    kept = x.clone()
    for own in (False, True):
        assert torch.equal(pullback(g, x, own), g * estimator.derivative(kept))
        assert own or torch.equal(x, kept)
