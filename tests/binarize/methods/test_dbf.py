"""Deterministic binary filters: codes, coefficients, the two forms."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bitwright.binarize.ovsf import code_coefficients, ovsf_codes
from bitwright.nn import BinaryConv2d, BinaryLinear


def test_codes() -> None:
    assert ovsf_codes(4).tolist() == [[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]
    for length in (1, 2, 8, 64):
        h = ovsf_codes(length)
        assert torch.equal(h @ h.T, length * torch.eye(length))
    with pytest.raises(ValueError, match="12"):
        ovsf_codes(12)


def test_coefficients() -> None:
    w = torch.tensor([[1.0, 2, 3, 4]], dtype=torch.float64)
    # Sylvester's order has the second and third row the other way round
    sylvester = ovsf_codes(4).double()[[0, 2, 1, 3]]
    expected = torch.tensor([[2.5, -0.5, -1, 0]], dtype=torch.float64)
    torch.testing.assert_close(code_coefficients(w, sylvester), expected)
    big = torch.randn(5, 64, dtype=torch.float64)
    codes = ovsf_codes(64).double()
    assert float((code_coefficients(big, codes) @ codes - big).abs().max()) < 1e-12


def test_cropped_codes_still_span_everything() -> None:
    cropped = ovsf_codes(16)[:, :9]
    assert torch.linalg.matrix_rank(cropped) == 9
    gram = ovsf_codes(16)[:9, :9] @ ovsf_codes(16)[:9, :9].T
    assert float(gram.diagonal().min()) == 9
    layer = BinaryConv2d(3, 4, 3, method="dbf", granularity="kernel", share=1.0)
    w = torch.randn(4, 3, 3, 3)
    layer.set_latent(layer.weight_binarizer.latent_from(w))
    torch.testing.assert_close(layer.binary, w, atol=1e-5, rtol=0)


@torch.no_grad()
def test_two_steps_are_the_direct_convolution() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(6, 5, 3, padding=1, method="dbf").eval()
    x = torch.randn(2, 6, 7, 7)
    direct = torch.einsum("oj,jikl->oikl", layer.output.weight, layer.weight)
    torch.testing.assert_close(layer(x), F.conv2d(x, direct, padding=1), atol=1e-5, rtol=1e-5)
    assert direct.std() == pytest.approx(1 / (3 * 54) ** 0.5, rel=0.25)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="share"):
        BinaryLinear(8, 8, method="dbf", share=0.0)
    with pytest.raises(ValueError, match="granularity"):
        BinaryLinear(8, 8, method="dbf", granularity="layer")
