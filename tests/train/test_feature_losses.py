"""Losses on stages of student and teacher: published and recomputed numbers, invariances, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bitwright.train import LipschitzRetention, attention_loss

STUDENT = torch.tensor([[[[1.0, -1], [0, 2]], [[0, 1], [1, 0]]]])
TEACHER = torch.tensor([[[[1.0, 0], [1, 1]], [[1, 0], [0, 1]]]])


@pytest.mark.parametrize(
    ("form", "expected"), [("distance", 0.660703), ("square", 0.436528), ("mean_square", 0.109132), ("max", 0.21875)]
)
def test_attention(form: str, expected: float) -> None:
    assert float(attention_loss([STUDENT], [TEACHER], form)) == pytest.approx(expected, abs=1e-6)
    assert float(attention_loss([STUDENT, TEACHER], [TEACHER, TEACHER], form)) == pytest.approx(expected / 2, abs=1e-6)


@pytest.mark.parametrize("form", ["distance", "square", "mean_square", "max"])
def test_attention_is_blind_to_scale_and_has_finite_gradients(form: str) -> None:
    torch.manual_seed(0)
    s, t = torch.randn(3, 4, 5, 6, requires_grad=True), torch.randn(3, 8, 5, 6, requires_grad=True)
    loss = attention_loss([s], [t], form)
    torch.testing.assert_close(loss, attention_loss([7 * s], [0.1 * t], form))
    loss.backward()
    assert s.grad is not None
    assert float(s.grad.abs().sum()) > 0
    assert t.grad is None
    same = s.detach().clone().requires_grad_()
    zero = attention_loss([same], [same.detach()], form)
    assert float(zero.detach()) == 0
    zero.backward()
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def test_attention_errors() -> None:
    with pytest.raises(ValueError, match="got 1, 2"):
        attention_loss([STUDENT], [TEACHER, TEACHER])
    with pytest.raises(ValueError, match="got 0, 0"):
        attention_loss([], [])
    with pytest.raises(ValueError, match="differ in size"):
        attention_loss([STUDENT], [TEACHER[..., :1]])
    with pytest.raises(ValueError, match="larq"):
        attention_loss([STUDENT], [TEACHER], "larq")


F0 = torch.tensor([[[1.0, 2, 0, 1], [0, 1, 1, 0]]])
F1 = torch.tensor([[[1.0, 0, 2, 1], [1, 1, 0, 1], [0, 1, 0, 2]]])


def test_lipschitz_vectors() -> None:
    loss = LipschitzRetention(stages=2)
    assert float(loss.spectral_norm(F0, F1)) == pytest.approx(1.789972, abs=1e-6)
    assert float(LipschitzRetention(stages=2, normalized=True).spectral_norm(F0, F1)) == pytest.approx(
        1.505181, abs=1e-6
    )
    relation = torch.tensor([[0.5, 1, 1], [0.5, 0.25, 0.25]])
    assert float(torch.linalg.matrix_norm(relation, 2)) == pytest.approx(1.585272, abs=1e-6)


def maps(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, c, s, s, generator=generator) for c, s in ((4, 8), (6, 8), (8, 4), (5, 2))]


def test_lipschitz_is_zero_for_equal_networks_and_weighs_the_stages() -> None:
    loss = LipschitzRetention(weight=8, batch_size=2)
    s, t = maps(0), maps(1)
    assert float(loss(s, s).detach()) == 0
    expected = 0.0
    for i in range(3):
        difference = loss.spectral_norm(s[i], s[i + 1]) - loss.spectral_norm(t[i], t[i + 1])
        expected += float(difference.square().mean()) / 2 ** (3 - i)
    assert float(loss(s, t).detach()) == pytest.approx(8 / 2 / 1e4 * expected, rel=1e-5)
    loss(s, t).backward()
    assert loss.gamma.grad is not None
    assert (loss.gamma.grad != 0).all()


def test_lipschitz_errors() -> None:
    with pytest.raises(ValueError, match="4 stages, got 2"):
        LipschitzRetention()(maps(0)[:2], maps(1)[:2])
    with pytest.raises(ValueError, match="stages=1"):
        LipschitzRetention(stages=1)
