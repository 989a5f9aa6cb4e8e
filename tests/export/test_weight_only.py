"""Weight-only binarization from the layer to the engine: the same numbers, one bit a weight in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.export import freeze, to_onnx
from bitwright.nn import BinaryConv1d, BinaryConv2d, BinaryConv3d, BinaryConvTranspose2d, BinaryLinear

from .oracles import scramble

ONLY: dict[str, Any] = {"activation": None, "method": "reactnet"}
LAYERS = {
    "conv": (lambda: BinaryConv2d(5, 7, 3, padding=1, bias=True, **ONLY), (5, 6, 5), 7 * 9, 5),
    "conv_bnn": (lambda: BinaryConv2d(64, 33, 3, activation=None), (64, 5, 5), 33 * 9, 64),
    "groups": (lambda: BinaryConv2d(66, 4, 3, 2, 2, groups=2, pad_mode="replicate", **ONLY), (66, 7, 7), 4 * 9, 33),
    "padded with 0": (lambda: BinaryConv1d(5, 4, 2, padding="same", **ONLY), (5, 7), 4 * 2, 5),
    "volume": (lambda: BinaryConv3d(3, 2, 2, padding=1, dilation=2, **ONLY), (3, 4, 4, 4), 2 * 8, 3),
    "transposed": (lambda: BinaryConvTranspose2d(6, 4, 3, 2, 1, 1, 2, **ONLY), (6, 4, 4), 4 * 9, 3),
    "linear": (lambda: BinaryLinear(37, 5, bias=True, **ONLY), (37,), 5, 37),
    "flattened": (lambda: nn.Sequential(nn.Flatten(), BinaryLinear(40 * 6, 5, **ONLY)), (40, 2, 3), 5 * 6, 40),
}


@pytest.mark.parametrize("name", LAYERS)
def test_eval_and_engine_are_equal(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("bitwright.runtime", reason="the native engine is not built")
    from bitwright.compiler import compile, inspect, verify

    make, shape, rows, row = LAYERS[name]
    net = make().eval()
    scramble(net)
    # whole numbers: every order of summation gives the same floats
    x = torch.randint(-9, 10, (3, *shape), generator=torch.Generator().manual_seed(1)).float()
    to_onnx(freeze(net), x, tmp_path / "net.onnx")
    compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    with torch.no_grad():
        wanted = net(x).numpy()
    np.testing.assert_array_equal(runtime.Session(tmp_path / "net.bwm").run(x.numpy()), wanted)
    found = inspect(tmp_path / "net.bwm")
    assert found.bytes_by_kind["binary weights"] == rows * -(-row // 32) * 4
    assert found.bytes_by_kind["float weights"] == 0
    noise = torch.randn(9, *shape, generator=torch.Generator().manual_seed(2)).numpy()
    report = verify(tmp_path / "net.onnx", tmp_path / "net.bwm", noise)
    assert report.ok, str(report)


@pytest.mark.parametrize("channels", range(1, 40, 6))
def test_a_kernel_of_one_tap_sums_in_the_same_order(channels: int) -> None:
    torch.manual_seed(channels)
    layer, x = BinaryConv2d(channels, 4, 1, method="bwn").eval(), torch.randn(2, channels, 6, 6)
    with torch.no_grad():
        assert torch.equal(freeze(layer)(x), layer(x))


FACTORED: dict[str, Any] = {
    # bytes of V and of U: rows (K for every group) * taps * words of channels, outputs * words of terms
    "conv": (lambda: BinaryConv2d(5, 7, 3, 2, 1, bias=True, method="sbd", rank=4), (5, 6, 5), 4 * 9 * 4 + 7 * 4),
    "groups": (lambda: BinaryConv2d(66, 4, 3, dilation=2, groups=2, method="sbd"), (66, 7, 7), 2 * 3 * 9 * 8 + 4 * 4),
    "same": (lambda: BinaryConv1d(5, 4, 2, padding="same", method="sbd", rank=33), (5, 7), 33 * 2 * 4 + 4 * 8),
    "linear": (lambda: BinaryLinear(37, 9, bias=True, method="sbd", rank=7), (37,), 7 * 8 + 9 * 4),
}


@pytest.mark.parametrize("name", FACTORED)
def test_factors_take_one_bit_a_sign(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("bitwright.runtime", reason="the native engine is not built")
    from bitwright.compiler import compile, inspect

    torch.manual_seed(2)
    make, shape, size = FACTORED[name]
    layer, x = make().eval(), torch.randn(3, *shape)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    with torch.no_grad():
        wanted = layer(x)
        # the product of the factors, in float64: what the method says
        reference = layer._apply_weight(x.double(), layer.binary.double())
        if layer.bias is not None:
            reference = reference + layer.shape.per_channel(layer.bias.double())
        frozen = freeze(layer)
        assert torch.equal(frozen(x), wanted)
    np.testing.assert_allclose(wanted.numpy(), reference.numpy(), rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    to_onnx(frozen, x, tmp_path / "net.onnx")
    compile(tmp_path / "net.onnx", tmp_path / "net.bwm", native_only=True)
    got = runtime.Session(tmp_path / "net.bwm").run(x.numpy())
    np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    found = inspect(tmp_path / "net.bwm")
    assert found.bytes_by_kind["binary weights"] == size
    assert found.bytes_by_kind["float weights"] == 0
