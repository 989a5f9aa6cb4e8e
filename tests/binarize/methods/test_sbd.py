"""Semi-binary decomposition: the published example, monotone alternation, training."""

from __future__ import annotations

import pytest
import torch

from bitwright.binarize import after_step
from bitwright.binarize.weights.semi_binary import greedy_factors, solve_diagonal, sweep
from bitwright.nn import BinaryConv2d, BinaryEmbedding, BinaryLinear, NotPackableError

U = torch.tensor([[1, 1], [1, -1], [-1, 1]], dtype=torch.float64)
V = torch.tensor([[1, 1, -1, 1], [1, -1, 1, 1]], dtype=torch.float64)
W = torch.tensor([[2.5, 1.5, -1.5, 2.5], [1.5, 2.5, -2.5, 1.5], [-1.5, -2.5, 2.5, -1.5]], dtype=torch.float64)


def test_diagonal() -> None:
    d = torch.tensor([2, 0.5], dtype=torch.float64)
    assert torch.equal((U * d) @ V, W)
    torch.testing.assert_close(solve_diagonal(W, U, V), d)
    # a term that is there twice makes the equations singular: the product is still right
    twice = solve_diagonal(W, torch.cat((U, U[:, :1]), 1), torch.cat((V, V[:1])))
    torch.testing.assert_close((torch.cat((U, U[:, :1]), 1) * twice) @ torch.cat((V, V[:1])), W)


def test_greedy_start() -> None:
    u, d, v = greedy_factors(W, 1)
    assert float(d[0].abs()) == pytest.approx(2)
    rest = W - (u * d) @ v
    assert float(rest.square().sum()) == pytest.approx(3)
    assert float(W.square().sum() - 12 * d[0] ** 2) == pytest.approx(3)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(20, 30, 8), (7, 50, 3), (5, 4, 9)])
def test_alternation_never_gets_worse(rows: int, columns: int, rank: int) -> None:
    torch.manual_seed(0)
    w = torch.randn(rows, columns, dtype=torch.float64)
    u, d, v = greedy_factors(w, rank)
    error = float((w - (u * d) @ v).square().sum())
    for _ in range(20):
        d = sweep(w, u, d, v)
        now = float((w - (u * d) @ v).square().sum())
        assert now <= error + 1e-9
        error = now
        assert torch.equal(u.abs(), torch.ones_like(u))
        assert torch.equal(v.abs(), torch.ones_like(v))


def test_default_rank_is_one_bit_a_weight() -> None:
    layer = BinaryConv2d(256, 256, 3, method="sbd", rank=None, sweeps=0, device="meta")
    assert layer.weight_binarizer.rank == 230


def test_factors_follow_the_weight() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(12, 8, method="sbd")

    def error() -> float:
        return float((layer.weight - layer.binary).square().sum().detach())

    with torch.no_grad():
        layer.weight.add_(0.2 * torch.randn(8, 12))
    moved = error()
    after_step(layer)
    assert error() < moved


def test_bad_rank() -> None:
    with pytest.raises(ValueError, match="rank"):
        BinaryLinear(4, 4, method="sbd", rank=0)


def test_terms_are_the_factors() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(6, 8, 3, groups=2, method="sbd", rank=3).eval()
    terms = layer.binary_terms()
    assert terms.mixing is not None
    (plane,) = terms.weights
    assert plane.bits.shape == (6, 3, 3, 3)
    v = plane.scale[:3].view(3, 1) * (plane.bits[:3].flatten(1).float() * 2 - 1)
    torch.testing.assert_close((terms.mixing.bits.float() * 2 - 1) @ v, layer.binary.flatten(1))
    for view in (lambda: layer.packed, layer.binary_spec):
        with pytest.raises(NotPackableError, match="product of two sign matrices"):
            view()


def test_a_table_cannot_be_two_layers() -> None:
    layer = BinaryEmbedding(5, 4, method="bwn", weight={"kind": "semi_binary"}).eval()
    ids = torch.arange(5)
    assert torch.equal(layer(ids), layer.binary)
    with pytest.raises(NotPackableError, match="cannot be expressed by bits"):
        layer.binary_terms()


@pytest.mark.parametrize(("rank", "gaussian", "structured"), [(57, 0.432, 0.110), (115, 0.151, 0.038)])
def test_relative_errors_of_the_literature(rank: int, gaussian: float, structured: float) -> None:
    """64 x 576, 15 alternations: at equal bits worse than a scale per filter, but for weights with structure."""
    torch.manual_seed(0)
    low_rank = torch.randn(64, 12, dtype=torch.float64) @ torch.randn(12, 576, dtype=torch.float64)
    for w, expected in ((torch.randn(64, 576, dtype=torch.float64), gaussian), (low_rank, structured)):
        u, d, v = greedy_factors(w, rank)
        for _ in range(15):
            d = sweep(w, u, d, v)
        error = float((w - (u * d) @ v).square().sum() / w.square().sum())
        assert error == pytest.approx(expected, abs=0.01)
        scaled = w.sign() * w.abs().mean(1, keepdim=True)
        assert float((w - scaled).square().sum() / w.square().sum()) == pytest.approx(0.362, abs=0.006)
