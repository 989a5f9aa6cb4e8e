"""`nn.summary` says how many bytes the file will hold: compared with real files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch

from bitwright import export, models, nn
from bitwright.binarize.activations import SignActivation, UniformActivation
from bitwright.binarize.part import LayerShape


def data_bytes(path: Path) -> int:
    """Bytes of tensor data in a safetensors file: everything behind the header of names."""
    raw = path.read_bytes()
    (header,) = struct.unpack("<Q", raw[:8])
    return len(raw) - 8 - header


@pytest.mark.parametrize(
    ("name", "shape", "method"),
    [
        ("binarycnn_s", (1, 8, 8), "reactnet"),
        ("resnet20", (3, 32, 32), "irnet"),
        ("vgg_small", (3, 32, 32), "bnn"),
        ("lenet", (1, 28, 28), "xnornet"),
        ("groupnet", (1, 28, 28), "dorefa"),
        ("mlp", (1, 28, 28), "bnn"),
    ],
)
def test_summary_bytes_are_the_files(name: str, shape: tuple[int, int, int], method: str, tmp_path: Path) -> None:
    network = models.create(name, in_channels=shape[0], method=method).eval()
    summary = nn.summary(network, (1, *shape))
    path = tmp_path / "net.safetensors"
    export.save_packed(export.freeze(network), path)
    assert summary.bytes == data_bytes(path)


def test_embedding_and_linear(tmp_path: Path) -> None:
    network = torch.nn.Sequential(nn.BinaryEmbedding(7, 40, method="bnn"), nn.BinaryLinear(40, 3, method="reactnet"))
    path = tmp_path / "net.safetensors"
    export.save_packed(export.freeze(network), path)
    assert nn.summary(network, torch.zeros(2, dtype=torch.int64)).bytes == data_bytes(path)


def test_binarizers_that_stand_alone(tmp_path: Path) -> None:
    shape = LayerShape("conv", 6, 6, (3, 3))
    network = torch.nn.Sequential(
        nn.RSign(6), nn.BinaryConv2d(6, 6, 3), SignActivation(shape), torch.nn.Conv2d(6, 6, 1), UniformActivation(shape)
    )
    path = tmp_path / "net.safetensors"
    export.save_packed(export.freeze(network), path)
    assert nn.summary(network, (1, 6, 5, 5)).bytes == data_bytes(path)
