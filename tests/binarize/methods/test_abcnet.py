"""ABC-Net: the paper's vectors, least squares, collinear bases."""

from __future__ import annotations

import pytest
import torch

from bitwright.binarize import LayerShape, get_method
from bitwright.nn import BinaryConv2d, BinaryLinear

W = torch.tensor([1, -0.5, 0.25, -1.25, 0.75, -0.25, 0.1, -0.1], dtype=torch.float64).view(1, 8)


def part(**options: object) -> torch.nn.Module:
    return get_method("abcnet", **options).build_weight(LayerShape("linear", 8, 1))


def test_one_base_is_the_centred_sign() -> None:
    bits, alpha = part(weight_bases=1).bases(W)  # type: ignore[operator]
    assert float(alpha) == pytest.approx(0.525)
    assert torch.equal(bits[0], W >= 0)
    rest = W - alpha * (bits[0].to(W.dtype) * 2 - 1)
    assert float(rest.square().sum()) == pytest.approx(1.315, abs=1e-6)
    assert float(W.std(correction=0)) == pytest.approx(0.663325, abs=1e-6)


def test_three_bases() -> None:
    bits, alpha = part().bases(W)  # type: ignore[operator]
    signs = bits[:, 0].double() * 2 - 1
    assert signs[0].tolist() == [1, -1, -1, -1, 1, -1, -1, -1]
    assert torch.equal(signs[1], torch.where(W[0] >= 0, 1.0, -1.0).double())
    assert signs[2].tolist() == [1, 1, 1, -1, 1, 1, 1, 1]
    torch.testing.assert_close(alpha[:, 0], torch.tensor([0.4125, 0.229167, 0.358333]).double(), atol=1e-6, rtol=0)
    rest = W[0] - alpha[:, 0] @ signs
    assert float(rest.square().sum()) == pytest.approx(0.217917, abs=1e-6)
    assert float((signs @ rest).abs().max()) < 1e-12


def test_bases_that_coincide_share_the_coefficient() -> None:
    binary = torch.tensor([[0.5, -0.5, 0.5, -0.5, 0.5, 0.5, -0.5, -0.5]])
    torch.testing.assert_close(part(weight_shifts=(-0.1, 0.0, 0.1))(binary), binary)
    assert torch.isfinite(part()(torch.zeros(1, 8))).all()


def test_more_bases_fit_better() -> None:
    torch.manual_seed(0)
    w = torch.randn(16, 8)
    errors = []
    for m in (1, 3, 5):
        binarizer = get_method("abcnet", weight_bases=m).build_weight(LayerShape("linear", 8, 16))
        errors.append(float((binarizer(w) - w).square().mean()))
    assert errors == sorted(errors, reverse=True)


def test_activation_levels_and_windows() -> None:
    r = torch.tensor([[-0.4, 0.2, 0.5, 0.7, 1.3]], dtype=torch.float64)
    for shift, mask, levels, window in (
        (0.0, "forward", [-1, -1, 1, 1, 1], [0, 1, 1, 1, 0]),
        (0.9, "forward", [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]),
        (0.9, "printed", [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]),
    ):
        method = get_method("abcnet", activation_shifts=(shift,), mask=mask)
        activation = method.build_activation(LayerShape("linear", 5, 1))
        assert activation is not None
        activation.double().shift.data.fill_(shift)  # type: ignore[operator, union-attr]
        x = r.clone().requires_grad_()
        y = activation(x)
        y.sum().backward()
        assert y.tolist() == [levels]
        assert x.grad is not None
        assert x.grad.tolist() == [window]


def test_every_pair_of_planes_is_deployed() -> None:
    terms = BinaryConv2d(4, 6, 3, method="abcnet", weight_bases=5, activation_bases=3).binary_terms()
    assert len(terms.weights) == 5
    assert terms.activations is not None
    assert len(terms.activations) == 3


def test_unknown_numbers_of_bases() -> None:
    with pytest.raises(ValueError, match="activation_shifts"):
        BinaryLinear(8, 4, method="abcnet", activation_bases=2)
    with pytest.raises(ValueError, match="1 to 8"):
        BinaryLinear(8, 4, method="abcnet", weight_bases=0)
