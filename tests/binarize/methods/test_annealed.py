"""BNext and BoolNet: weights annealed to signs, slices of channels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bitwright.binarize import after_step, set_progress
from bitwright.nn import BinaryConv2d, BinaryLinear, repeat_slices


def close(actual: Tensor, expected: Any, tol: float = 1e-9) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype).view_as(actual), atol=tol, rtol=0)


def test_annealed_weights_become_signs() -> None:
    layer = BinaryLinear(6, 4, method="bnext").train()
    binarizer: Any = layer.weight_binarizer
    w = torch.tensor([[-0.5, 0.2, 0.0, 2.0, -2.0, 1e-6]])
    set_progress(layer, epoch=0, epochs=200)
    close(binarizer(w), w.clamp(-1, 1), 1e-7)
    set_progress(layer, epoch=2, epochs=200)
    close(binarizer(w), (w / 0.81).clamp(-1, 1), 1e-6)
    set_progress(layer, epoch=152, epochs=200)
    assert binarizer(w)[0, 2] == 0
    set_progress(layer, epoch=153, epochs=200)  # 0.9^153 < 1e-7
    assert binarizer(w).tolist() == [[-1, 1, 1, 1, -1, 1]]


def test_annealing_by_steps() -> None:
    layer = BinaryLinear(6, 4, method="boolnet", every=1000)
    set_progress(layer, epoch=0, epochs=2, step=2999, steps=5000)
    assert layer.weight_binarizer.temperature.t.item() == pytest.approx(0.965**2)  # type: ignore[union-attr]


def test_annealed_latent_weights_are_clamped() -> None:
    layer = BinaryLinear(2, 1, method="bnext")
    layer.set_latent(torch.tensor([[3.0, -3.0]]))
    after_step(layer)
    assert layer.weight.tolist() == [[1.5, -1.5]]


def test_slices_feed_their_own_outputs() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 5)
    layer = BinaryConv2d(12, 8, 3, groups=4, padding=1, pad_mode="replicate", method="boolnet", slices=4).eval()
    sliced = repeat_slices(x, 4)
    assert sliced.shape == (2, 12, 5, 5)
    with torch.no_grad():
        y = layer(sliced)
        for s, tau in enumerate((-2 / 3, -1 / 3, 1 / 3, 2 / 3)):
            one = BinaryConv2d(3, 2, 3, padding=1, pad_mode="replicate", method="bireal")
            one.set_latent(layer.weight[2 * s : 2 * s + 2])
            torch.testing.assert_close(y[:, 2 * s : 2 * s + 2], one.eval()(x + tau))


def test_wrong_numbers_of_slices() -> None:
    with pytest.raises(ValueError, match="even number"):
        BinaryConv2d(12, 8, 3, method="boolnet", slices=3)
    with pytest.raises(ValueError, match="multiple of 4"):
        BinaryConv2d(6, 8, 3, method="boolnet", slices=4)
