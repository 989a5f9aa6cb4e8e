"""ProxyBNN: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.binarize.against import (
    close,
    differentiate,
    random_rows,
    weight_part,
)
from torch import nn

from bitwright.binarize import (
    UnknownNameError,
)
from bitwright.nn import BinaryLinear


def test_proxybnn_vector() -> None:
    part = weight_part("proxybnn", 2, 2)
    with torch.no_grad():
        part.basis.copy_(torch.tensor([[1, 0.5], [-0.5, 1]]))
    a = np.array([[0.5, -0.2], [-0.1, 0.4]])
    close(part.normalize(torch.tensor(a)), [[0.6, 0.05], [-0.3, 0.35]])
    value, da, dp = differentiate(part, a, np.ones((2, 2)), part.basis)
    close(value, [[0.325, 0.325], [-0.325, 0.325]])
    close(da, [[1.5, 0.5], [1.5, 0.5]])
    close(dp, [[0.4, 0.4], [0.2, 0.2]])


def test_proxybnn_starts_as_the_layer_without_a_basis() -> None:
    a, g = random_rows(0, 5, 12)
    plain = weight_part("bireal", 5, 12, weight_gradient="pytorch")
    for one, other in zip(differentiate(plain, a, g), differentiate(weight_part("proxybnn", 5, 12), a, g), strict=True):
        close(one, other)


def test_proxybnn_exports_the_product_only() -> None:
    """(A R, R^-1 P) and (A, P) are the same layer."""
    torch.manual_seed(0)
    one, other = BinaryLinear(6, 4, method="proxybnn"), BinaryLinear(6, 4, method="proxybnn")
    r = nn.init.orthogonal_(torch.empty(6, 6, dtype=torch.float64))
    p = torch.randn(6, 6, dtype=torch.float64)
    with torch.no_grad():
        one.weight_binarizer.basis.copy_(p)
        other.weight.copy_(one.weight.double() @ r)
        other.weight_binarizer.basis.copy_(r.T @ p)
    a, b = one.binary_spec(), other.binary_spec()
    assert torch.equal(a.weight, b.weight)
    torch.testing.assert_close(a.weight_scale, b.weight_scale)
    start = BinaryLinear(6, 4, method="proxybnn", start="orthogonal").weight_binarizer.basis
    close(start @ start.T, np.eye(6), 1e-6)
    with pytest.raises(UnknownNameError, match="filter"):
        BinaryLinear(6, 4, method="proxybnn", axis="output")
