"""BiBERT and BiT: bool attention, elastic binarization and its start from data."""

from __future__ import annotations

import pytest
import torch

from bitwright.binarize import initialize_from_data
from bitwright.nn import BinaryEmbedding, BinaryLinear


def test_bibert_scale_is_of_the_uncentred_row() -> None:
    layer = BinaryLinear(4, 1, method="bibert")
    layer.set_latent(torch.tensor([[1.0, 2.0, 3.0, 6.0]]))
    assert layer.binary.tolist() == [[-3.0, -3.0, 3.0, 3.0]]


def test_bibert_bool_counts_zero_as_one() -> None:
    layer = BinaryLinear(4, 1, method="bibert", levels="bool").eval()
    layer.set_latent(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
    with torch.no_grad():
        assert layer(torch.tensor([[0.0, -1.0, -0.0, 2.0]])).tolist() == [[1.0]]
    x = torch.tensor([[-1.0, 0.5, 1.0, -0.9]], requires_grad=True)
    layer.train()(x).sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).tolist() == [[False, True, False, True]]


def test_bibert_embedding_rows() -> None:
    table = BinaryEmbedding(5, 8, method="bibert").eval()
    rows = table(torch.arange(5))
    scale = table.weight.abs().mean(1)
    torch.testing.assert_close(rows.abs(), scale.unsqueeze(1).expand(5, 8))
    torch.testing.assert_close(rows >= 0, table.weight >= table.weight.mean(1, keepdim=True))


@pytest.mark.parametrize(("signed", "factor"), [(True, 2.0), (False, 4.0)])
def test_bit_starts_from_the_first_batch(signed: bool, factor: float) -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(6, 3, method="bit", signed=signed)
    x = torch.randn(10, 6)
    initialize_from_data(layer, x)
    torch.testing.assert_close(layer.activation.alpha.detach(), factor * x.abs().mean().view(1))  # type: ignore[union-attr]


def test_bit_levels_at_the_ends() -> None:
    layer = BinaryLinear(5, 1, method="bit", signed=False).eval()
    layer.set_latent(torch.tensor([[2.0, 1.0, -1.0, -1.0, -1.0]]))
    a = layer.activation
    with torch.no_grad():
        a.alpha.fill_(0.5)  # type: ignore[union-attr]
        a.beta.fill_(0.25)  # type: ignore[union-attr]
        levels = a(torch.tensor([[0.24, 0.49, 0.5, 0.75, float("nan")]]))  # type: ignore[misc]
    assert levels.tolist() == [[0, 0, 1, 1, 0]]
    assert layer.binary_spec().activation.threshold.tolist() == [0.5]  # type: ignore[union-attr]


def test_bit_scale_stays_positive() -> None:
    layer = BinaryLinear(5, 2, method="bit").eval()
    with torch.no_grad():
        layer.activation.alpha.fill_(-1.0)  # type: ignore[union-attr]
        assert torch.isfinite(layer(torch.randn(3, 5))).all()
    assert float(layer.binary_spec().activation.scale) == pytest.approx(1e-5)  # type: ignore[union-attr]
