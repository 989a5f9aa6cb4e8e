"""DSQ: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.binarize.against import activation_part, close, differentiate, printed

from bitwright.binarize import get_method, initialize_from_data, regularization
from bitwright.binarize.codes import ActivationCode, LevelsCode
from bitwright.binarize.soft_quantizer import SoftQuantizer
from bitwright.nn import BinaryConv2d, BinaryLinear


def test_dsq_binary_vectors() -> None:
    part = activation_part("dsq", 4)
    value, grad = differentiate(part, np.array([[0, 0.5, 1, 1.01]]), np.ones((1, 4)))
    close(value, np.ones((1, 4)))
    printed(grad, [[1.373265, 1.029949, 0.494376, 0]])
    printed(part.estimator.primitive(torch.tensor([-1, 0.5, 1.0], dtype=torch.float64)), [-1, 0.625, 1])
    printed(
        differentiate(activation_part("dsq", 1, alpha=0.4999999), np.zeros((1, 1)), np.ones((1, 1)))[1], [[1.098612]]
    )


@pytest.mark.parametrize(
    ("x", "value", "hard", "dx", "dl", "du", "da"),
    [
        (0.1, 0.132561, 1 / 3, 1.234267, -0.121701, -0.112566, -0.146376),
        (0.4, 0.372557, 1 / 3, None, None, None, None),
        (-1.2, -1, -1, 0, 1, 0, 0),
    ],
)
def test_dsq_soft_vectors(
    x: float, value: float, hard: float, dx: float | None, dl: float | None, du: float | None, da: float | None
) -> None:
    soft = SoftQuantizer(2, 0.2, learn_alpha=True, soft=True).double()
    point, one = np.array([x]), np.ones(1)
    found = differentiate(soft, point, one, soft.lower, soft.upper, soft.alpha)
    printed(found[0], [value])
    if dx is not None:
        for actual, expected in zip(found[1:], (dx, dl, du, da), strict=True):
            printed(actual.reshape(()), expected)
    close(found[1] + found[2] + found[3], 1)  # moving x and both bounds moves the value
    close(differentiate(SoftQuantizer(2).double(), point, one)[0], [hard])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_dsq_planes_are_the_values(bits: int) -> None:
    torch.manual_seed(bits)
    layer = BinaryLinear(30, 6, method="dsq", w_bits=bits, a_bits=bits, bounds=True)
    x = torch.randn(50, 30)
    initialize_from_data(layer, x)
    part = layer.weight_binarizer
    total = sum(c.scale.view(-1, 1) * (c.bits.float() * 2 - 1) for c in part.codes(layer.weight))
    torch.testing.assert_close(total, part(layer.weight).detach(), rtol=1e-5, atol=1e-6)
    assert len(total.unique()) <= 2**bits
    levels, constant = layer.activation.terms()
    assert isinstance(levels, ActivationCode if bits == 1 else LevelsCode)
    assert isinstance(constant, ActivationCode)
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), layer.train()(x), rtol=1e-4, atol=1e-4)
        assert len(layer.activation(x).unique()) == 2**bits


def test_dsq_bounds_start_from_data() -> None:
    torch.manual_seed(0)
    x = 3 + 2 * torch.randn(1000, 20)
    one, many = (BinaryLinear(20, 4, method="dsq", a_bits=bits, bounds=True).activation for bits in (1, 3))
    for part in (one, many):
        part.initialize_from(x)
    assert float(one.quantizer.lower) == pytest.approx(1, abs=0.1)
    assert float(one.quantizer.upper) == pytest.approx(5, abs=0.1)
    assert float(many.quantizer.lower) == pytest.approx(-3, abs=0.2)
    with pytest.raises(ValueError, match="standard deviation 0"):
        one.initialize_from(torch.ones(4))


def test_dsq_penalty_and_errors() -> None:
    layer = BinaryLinear(8, 2, method="dsq", bounds=True, learn_alpha=True, penalty=0.5)
    term = regularization(layer)
    assert term is not None
    assert float(term.detach()) == pytest.approx(2 * 0.5 * 0.04)
    assert regularization(BinaryLinear(8, 2, method="dsq")) is None
    for options, text in (
        ({"w_bits": 9}, "got 9"),
        ({"a_bits": 0}, "got 0"),
        ({"learn_alpha": True}, "bounds=True"),
        ({"bounds": True, "alpha": 0.5}, r"got 0\.5"),
    ):
        with pytest.raises(ValueError, match=text):
            BinaryLinear(8, 2, method="dsq", **options)
    with pytest.raises(ValueError, match="pad_value=1"):
        BinaryConv2d(4, 4, 3, padding=1, pad_value=1, method="dsq", bounds=True)
    assert get_method("dsq", a_bits=32).parts.activation is None
