"""BiFSMN's scales, BiFSMNv2's two planes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bitwright.nn import BinaryConv1d, BinaryLinear


def test_released_scales_are_real_behind_1x1() -> None:
    layer = BinaryConv1d(6, 4, 1, method="bifsmn", released_scales=True)
    centred = layer.weight - layer.weight.mean()
    torch.testing.assert_close(layer.weight_binarizer(layer.weight), centred)
    assert not layer.eval().is_exact
    with pytest.raises(ValueError, match="kernel"):
        BinaryLinear(6, 4, method="bifsmn", released_scales=True)
    assert len(BinaryConv1d(6, 4, 1, method="bifsmn").binary[0].unique()) == 2


def test_dual_scale_levels() -> None:
    activation: Any = BinaryLinear(4, 2, method="bifsmnv2").activation
    with torch.no_grad():
        activation.shift.zero_()
        activation.shift_out.zero_()
        y = activation(torch.tensor([[2.0, -2.0, 0.5, -0.5]]))
    # first plane ±1; what is left is 1, -1, -0.5, 0.5: mean 0.75
    assert y.tolist() == [[1.75, -1.75, 0.25, -0.25]]
