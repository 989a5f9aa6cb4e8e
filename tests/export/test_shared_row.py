"""Planes of weights that are all 1 (AdaBin, DSQ with bounds): one row of counts, the same values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.binarize import initialize_from_data, set_progress
from bitwright.export import freeze, pack_layer, to_onnx
from bitwright.export.packed_shared import SharedRow
from bitwright.export.packed_sum import PackedSum
from bitwright.nn import BinaryConv1d, BinaryConv2d, BinaryConv3d, BinaryConvTranspose2d, BinaryLayer, BinaryLinear
from bitwright.runtime import Session

OPTIONS: dict[str, dict[str, object]] = {
    "adabin": {"method": "adabin"},
    "dsq": {"method": "dsq", "bounds": True},
    "dsq_3_bits": {"method": "dsq", "bounds": True, "a_bits": 3},
}
LAYERS: dict[str, tuple[Callable[..., BinaryLayer], tuple[int, ...]]] = {
    "conv1d": (lambda **k: BinaryConv1d(33, 8, 3, 2, 1, **k), (2, 33, 9)),
    "conv2d": (lambda **k: BinaryConv2d(5, 7, 3, padding=1, bias=True, **k), (2, 5, 6, 7)),
    "groups": (lambda **k: BinaryConv2d(6, 9, (3, 2), padding=(1, 0), groups=3, dilation=2, **k), (2, 6, 7, 6)),
    "replicate": (lambda **k: BinaryConv2d(40, 4, 3, padding=2, pad_mode="replicate", **k), (2, 40, 5, 5)),
    "conv3d": (lambda **k: BinaryConv3d(3, 4, 2, padding=1, **k), (2, 3, 4, 4, 4)),
    "transposed": (lambda **k: BinaryConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, **k), (2, 4, 5, 5)),
    "linear": (lambda **k: BinaryLinear(70, 9, bias=True, **k), (3, 2, 70)),
}


def trained(make: Callable[..., BinaryLayer], shape: tuple[int, ...], options: str) -> tuple[BinaryLayer, Tensor]:
    torch.manual_seed(5)
    layer, x = make(**OPTIONS[options]), torch.randn(shape)
    set_progress(layer, epoch=1, epochs=2)
    initialize_from_data(layer, x)
    with torch.no_grad():
        for parameter in layer.activation.parameters():  # type: ignore[union-attr]
            parameter.add_(0.2 * torch.rand_like(parameter))
        if layer.bias is not None:
            layer.bias.normal_()
    return layer.eval(), x


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_row_serves_all_filters(name: str, options: str) -> None:
    if (name, options) == ("transposed", "dsq_3_bits"):
        pytest.skip("transposed convolutions of several bits have no packed twin")
    layer, x = trained(*LAYERS[name], options)
    x[0, 0].fill_(float("nan"))
    packed = pack_layer(layer)
    assert isinstance(packed, PackedSum)
    rows = [plane for plane in packed.planes if isinstance(plane, SharedRow)]
    assert len(rows) == 2
    assert all(row.row(x).shape[1 if layer.shape.kernel_size else -1] == layer.shape.groups for row in rows)
    with torch.no_grad():
        assert torch.equal(packed(x), layer(x))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ["conv1d", "conv2d", "groups", "replicate", "linear"])
def test_everywhere(name: str, options: str, tmp_path: Path) -> None:
    layer, x = trained(*LAYERS[name], options)
    frozen = freeze(nn.Sequential(nn.Identity(), layer))
    with torch.no_grad():
        wanted = layer(x).numpy()
    to_onnx(frozen, x, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    if name == "linear":  # tokens: the engine's samples must not influence each other, so one token a sample
        return
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    np.testing.assert_allclose(Session(tmp_path / "net.bwm").run(x.numpy()), wanted, rtol=1e-5, atol=1e-5)
