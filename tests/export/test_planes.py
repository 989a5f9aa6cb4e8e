"""Layers of several planes, with float operations before or behind: eval layer == frozen == onnxruntime == engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.binarize import initialize_from_data
from bitwright.export import freeze, save_packed, to_onnx
from bitwright.export.packed_sum import PackedSum
from bitwright.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryConv3d,
    BinaryConvTranspose2d,
    BinaryEmbedding,
    BinaryLayer,
    BinaryLinear,
    summary,
)
from bitwright.runtime import Session

OPTIONS: list[dict[str, Any]] = [
    {"method": "dorefa", "w_bits": 3},
    {"method": "dorefa", "w_bits": 2, "a_bits": 2},
    {"method": "dorefa", "w_bits": 2, "a_bits": 32},
    {"method": "affine", "w_bits": 1},
    {"method": "affine", "w_bits": 3, "a_bits": 4, "symmetric": False},
    {"method": "lsq", "w_bits": 2, "a_bits": 3, "signed": True},
    {"method": "pact", "w_bits": 1, "a_bits": 4},
    {"method": "twn", "activation": {"kind": "sign"}},
    {"method": "ttq", "activation": {"kind": "sign", "shift": "channel"}},
    {"method": "bitwisenn", "sparsity": 0.3},
    {"method": "lbcnn", "activation": {"kind": "sign"}},
    {"method": "tbn"},
    {"method": "sbd", "rank": 5},
    {"method": "sbd", "rank": 3, "activation": {"kind": "sign"}},
    {"method": "sbd", "rank": 3, "output": {"kind": "channel_scale"}},
    {"method": "affine", "w_bits": 2, "a_bits": 4, "dynamic": True},
]
LAYERS: dict[str, Any] = {
    "conv1d": (lambda **k: BinaryConv1d(6, 8, 3, padding="same", dilation=2, bias=True, **k), (2, 6, 9)),
    "conv2d": (lambda **k: BinaryConv2d(6, 8, 3, padding=1, stride=2, groups=2, bias=True, **k), (2, 6, 8, 7)),
    "replicate": (lambda **k: BinaryConv2d(5, 4, 3, padding=1, pad_mode="replicate", **k), (2, 5, 6, 6)),
    "conv3d": (lambda **k: BinaryConv3d(3, 4, 2, padding=1, **k), (2, 3, 4, 4, 4)),
    "transposed": (lambda **k: BinaryConvTranspose2d(4, 6, 3, 2, 1, 1, 2, True, **k), (2, 4, 5, 5)),
    "linear": (lambda **k: BinaryLinear(33, 7, bias=True, **k), (4, 33)),
    "tokens": (lambda **k: BinaryLinear(6, 5, **k), (2, 3, 6)),
}


def ready(layer: BinaryLayer, x: Tensor) -> BinaryLayer:
    initialize_from_data(layer, x)
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias.normal_()
        for part in (layer.activation, layer.output):
            for parameter in () if part is None else part.parameters():
                parameter.add_(0.3 * torch.rand_like(parameter))
    return layer.eval()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_frozen_layers_are_equal(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(4)
    make, size = LAYERS[kind]
    x = torch.randn(size)
    layer = ready(make(**options), x)
    if kind == "transposed" and any(
        isinstance(t, bw.nn.spec.LevelsCode) for t in layer.binary_terms().activations or ()
    ):
        with pytest.raises(bw.nn.NotPackableError, match="a transposed convolution of"):
            freeze(layer)
        return
    frozen = freeze(layer)
    assert isinstance(frozen, PackedSum) or options.get("w_bits") == 1
    assert not list(frozen.parameters())
    tricky = x.clone()
    tricky.view(-1)[:6] = torch.tensor([0.0, -0.0, 1e9, -1e9, 1e-40, -1e-40])
    with torch.no_grad():
        for values in (x, 3 * x, tricky):
            assert torch.equal(frozen(values), layer(values))


@pytest.mark.parametrize("options", [OPTIONS[0], {"method": "twn"}, {"method": "ttq"}, {"method": "affine"}], ids=str)
def test_embeddings_of_several_planes(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = BinaryEmbedding(11, 33, **options).eval()
    ids = torch.randint(0, 11, (3, 4))
    with torch.no_grad():
        assert torch.equal(freeze(layer)(ids), layer(ids))
        torch.testing.assert_close(layer(ids), layer.binary[ids])


def network(options: dict[str, Any]) -> nn.Sequential:
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        BinaryConv2d(12, 16, 3, padding=1, **options),
        nn.BatchNorm2d(16),
        BinaryConv2d(16, 16, 3, stride=2, groups=2, padding=1, bias=True, **options),
        nn.BatchNorm2d(16),
        nn.Flatten(),
        BinaryLinear(256, 10, **options),
    )
    x = torch.randn(8, 3, 8, 8)
    initialize_from_data(net, x)
    with torch.no_grad():
        for _ in range(3):
            net.train()(x)
    return net.eval()


@pytest.mark.parametrize("options", OPTIONS[:-2], ids=str)
def test_networks_run_in_the_engine(options: dict[str, Any], tmp_path: Path) -> None:
    net = network(options)
    x = torch.randn(6, 3, 8, 8)
    frozen = freeze(net)
    with torch.no_grad():
        wanted = net(x).numpy()
        np.testing.assert_array_equal(frozen(x).numpy(), wanted)
    to_onnx(frozen, x[:2], tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    peak = float(np.abs(wanted).max())
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * peak)
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    np.testing.assert_allclose(Session(tmp_path / "net.bwm").run(x.numpy()), wanted, rtol=1e-4, atol=1e-4 * peak)
    kinds = [op["kind"] for op in Session(tmp_path / "net.bwm").ops()]
    planes = len(net[2].binary_terms().weights) * len(net[2].binary_terms().activations or ())
    assert kinds.count("BCONV") >= 3 * planes


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_size_is_what_the_summary_says(options: dict[str, Any], tmp_path: Path) -> None:
    net = network(options)
    frozen = freeze(net)
    save_packed(frozen, tmp_path / "net.safetensors")
    tensors = {id(v): v for v in frozen.state_dict(keep_vars=True).values()}  # shared bits are stored once
    content = sum(v.numel() * v.element_size() for v in tensors.values())
    stored = (tmp_path / "net.safetensors").read_bytes()
    assert len(stored) == 8 + int.from_bytes(stored[:8], "little") + content  # length of the header, header, tensors
    assert summary(net, torch.randn(1, 3, 8, 8)).bytes == content
