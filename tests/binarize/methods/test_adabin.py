"""AdaBin: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.binarize.against import C0, W0, activation_part, close, differentiate, printed, random_rows, weight_part

from bitwright.nn import BinaryConv2d


def test_adabin_vectors() -> None:
    value, _ = differentiate(weight_part("adabin", 2, 4), W0, C0)
    printed(value, [[0.411138, -0.161138, 0.411138, -0.161138], [-0.3, 0.6, -0.3, 0.6]])
    x = np.array([[-0.6, 0.1, 0.25, 1.2]])
    for offset, expected in (("center", [-0.5, -0.5, 0.9, 0.9]), ("product", [-0.56, -0.56, 0.84, 0.84])):
        part = activation_part("adabin", 4, offset=offset)
        with torch.no_grad():
            part.alpha.fill_(0.7)
            part.beta.fill_(0.2)
        found = differentiate(part, x, np.ones((1, 4)))[0]
        close(found, [expected])
        if offset == "center":
            close(found @ value.T, [[0.10, 0.12]])


def test_adabin_keeps_mean_and_variance_of_balanced_filters() -> None:
    w, _ = random_rows(0, 3, 40)
    w = np.concatenate([w, -w], 1)
    value, _ = differentiate(weight_part("adabin", 3, 80), w, w)
    close(value.mean(1), w.mean(1))
    close(value.var(1), w.var(1))


def test_adabin_alpha_has_no_sign() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 4, 3, padding=1, method="adabin")
    x = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        layer.activation.alpha.fill_(0.6)
        layer.activation.beta.fill_(0.1)
        before = layer(x)
        layer.activation.alpha.fill_(-0.6)
        assert torch.equal(layer(x), before)
        torch.testing.assert_close(layer.eval()(x), before, rtol=1e-5, atol=1e-5)


def test_adabin_refuses_padding_with_values_that_are_no_levels() -> None:
    with pytest.raises(ValueError, match="pad_value=1"):
        BinaryConv2d(4, 4, 3, padding=1, pad_value=1, method="adabin")
    BinaryConv2d(4, 4, 3, padding=1, pad_mode="replicate", method="adabin")
    with pytest.raises(ValueError, match="single weight"):
        BinaryConv2d(4, 4, 1, groups=4, method="adabin")
