"""XNOR-Net++'s scales per position: packed and exported with their map. The engine says that it cannot
multiply by such a map, and onnxruntime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.export import freeze, to_onnx
from bitwright.nn import BinaryConv2d


@pytest.mark.parametrize("case", [2, 3, 4])
def test_position_scale(case: int, tmp_path: Path) -> None:
    torch.manual_seed(case)
    layer = BinaryConv2d(5, 7, 3, 2, 1, bias=True, method="xnornetpp", case=case, output_size=(4, 3)).eval()
    assert layer.output is not None
    with torch.no_grad():
        for parameter in [*layer.output.parameters(), layer.bias]:
            parameter.normal_()  # type: ignore[union-attr]
    x = torch.randn(3, 5, 7, 6)
    frozen = freeze(nn.Sequential(layer))
    with torch.no_grad():
        wanted = layer(x)
        assert torch.equal(frozen(x), wanted)
    assert not list(frozen.parameters())
    to_onnx(frozen, x, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(bw.compiler.UnsupportedModelError, match="differs between the pixels of a channel"):
        bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm", native_only=True)
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    parted = bw.runtime.Session(tmp_path / "net.bwm").run(x.numpy())
    np.testing.assert_allclose(parted, wanted.numpy(), rtol=1e-5, atol=1e-6)
