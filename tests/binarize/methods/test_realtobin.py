"""Real-to-Binary: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import pytest
import torch
from tests.binarize.against import (
    close,
)

from bitwright.binarize import (
    set_stage,
)
from bitwright.nn import BinaryConv2d, BinaryConvTranspose2d, BinaryLinear


def test_realtobin_gate_of_zero_halves() -> None:
    layer = BinaryConv2d(64, 8, 3, method="realtobin")
    assert layer.output.squeeze.shape == (8, 64)
    with torch.no_grad():
        layer.output.excite.zero_()
    plain = BinaryConv2d(64, 8, 3, method="bnn")
    plain.set_latent(layer.weight)
    x = torch.randn(2, 64, 5, 5)
    with torch.no_grad():
        close(layer(x), 0.5 * plain(x), 1e-5)
        assert torch.equal(layer.eval()(x), 0.5 * plain.eval()(x))


@pytest.mark.parametrize("method", ["realtobin"])
def test_realtobin_stage_of_tanh_and_other_layers(method: str) -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(16, 3, method=method)
    set_stage(layer, "float")
    x = torch.randn(4, 16)
    with torch.no_grad():
        expected = torch.tanh(x) @ layer.weight.T
        gate = torch.sigmoid(torch.relu(x @ layer.output.squeeze.T) @ layer.output.excite.T)
        torch.testing.assert_close(layer(x), expected * gate)
    up = BinaryConvTranspose2d(8, 4, 3, 2, method=method)
    assert up(torch.randn(2, 8, 3, 3)).shape == (2, 4, 7, 7)


def test_realtobin_baseline_has_learned_scales_instead() -> None:
    scale = {"kind": "position_scale", "form": "axes", "start": "ones"}
    layer = BinaryConv2d(4, 4, 3, method="realtobin", gate=False, output=scale, output_size=(3, 3))
    plain = BinaryConv2d(4, 4, 3, method="realtobin", gate=False)
    plain.set_latent(layer.weight)
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(layer(x), plain(x))
