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
