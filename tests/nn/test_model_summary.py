"""summary: counts by hand, sharing, nesting, bytes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitwright.binarize import set_stage
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


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (BinaryConv1d(6, 8, 3, groups=2), (2, 6, 9), 2 * 8 * 7 * 3 * 3),
        (BinaryConv2d(5, 7, 3, padding=1, stride=2), (1, 5, 8, 8), 7 * 16 * 5 * 9),
        (BinaryConv3d(3, 4, 2), (1, 3, 4, 4, 4), 4 * 27 * 3 * 8),
        (BinaryConvTranspose2d(4, 6, 3, stride=2, groups=2), (1, 4, 5, 5), 4 * 25 * 3 * 9),
        (BinaryLinear(33, 7), (2, 3, 33), 6 * 33 * 7),
    ],
)
def test_macs_of_each_layer(layer: BinaryLayer, shape: tuple[int, ...], macs: int) -> None:
    result = summary(layer, shape)
    assert result.macs_by_precision == {(1, 1): macs}
    assert result.binary_params == layer.weight.numel()
    assert result.float_params == 0
    assert result.rows[0].output_shape == tuple(layer(torch.zeros(shape)).shape)


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv1d(6, 8, 3, groups=2), (2, 6, 9), 2 * 8 * 7 * 3 * 3),
        (nn.Conv3d(3, 4, 2), (1, 3, 4, 4, 4), 4 * 27 * 3 * 8),
        (nn.ConvTranspose1d(4, 6, 3, stride=2), (1, 4, 5), 4 * 5 * 6 * 3),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (1, 4, 5, 5), 4 * 25 * 3 * 9),
        (nn.Linear(33, 7), (2, 3, 33), 6 * 33 * 7),
    ],
)
def test_macs_of_float_layers(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    result = summary(layer, shape)
    assert result.macs_by_precision == {(32, 32): macs}
    assert result.bytes == 4 * sum(p.numel() for p in layer.parameters())


def stored_bytes(layer: Any) -> int:
    """Bytes of the tensors that deployment stores for a binary layer."""
    spec = layer.binary_spec()
    tensors = [layer.packed, spec.weight_scale]
    tensors += [] if spec.bias is not None or layer.shape.kind == "embedding" else [spec.weight_scale]  # a zero bias
    tensors += [] if spec.bias is None else [spec.bias]
    tensors += [] if spec.activation is None else [spec.activation.threshold]
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("method", ["bnn", "reactnet", "dorefa", "irnet"])
def test_bytes_are_those_of_the_stored_tensors(method: str) -> None:
    for layer, shape in (
        (BinaryConv2d(33, 5, 3, method=method, bias=True), (1, 33, 6, 6)),
        (BinaryConv2d(64, 64, 3, groups=64, method=method), (1, 64, 6, 6)),
        (BinaryLinear(70, 3, method=method), (1, 70)),
        (BinaryConv2d(8, 4, 1, method=method, output="channel_scale"), (1, 8, 4, 4)),
    ):
        assert summary(layer, shape).bytes == stored_bytes(layer)
    table = BinaryEmbedding(7, 40, method=method)
    assert summary(table, torch.zeros(2, dtype=torch.int64)).bytes == stored_bytes(table)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.shared = BinaryConv2d(32, 32, 3, padding=1)
        self.blocks = nn.ModuleList([nn.Sequential(self.shared, nn.BatchNorm2d(32)) for _ in range(2)])
        self.unused = nn.Linear(3, 3)
        self.lstm = nn.LSTM(32, 4)
        self.head = nn.Linear(4, 2)
        self.tied = nn.Linear(4, 2)
        self.tied.weight = self.head.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        for block in self.blocks:
            y = block(y)
        y = self.lstm(y.mean((2, 3)).unsqueeze(0))[0]
        return self.head(y) + self.tied(y)


def test_nested_shared_and_unknown_modules() -> None:
    net = Nested().train()
    modes = [m.training for m in net.modules()]
    statistics = net.blocks[0][1].running_mean.clone()
    result = summary(net, (2, 3, 4, 4))
    assert [m.training for m in net.modules()] == modes
    assert torch.equal(net.blocks[0][1].running_mean, statistics)
    rows = {row.name: row for row in result.rows}
    assert rows["shared"].calls == 2
    assert rows["shared"].macs == 2 * (2 * 32 * 16 * 32 * 9)  # two calls, batch 2
    assert rows["shared"].binary_params == 9216  # but stored once
    assert rows["unused"].calls == 0
    assert rows["unused"].macs == 0
    assert rows["tied"].float_params == 2  # its weight is counted at the head
    assert result.uncounted == ["lstm"]
    assert result.binary_params + result.float_params == sum(p.numel() for p in net.parameters())
    text = str(result)
    assert "x2" in text
    assert "not counted" in text
    assert f"{result.bytes:,}" in text


def test_precision_of_weight_only_k_bit_and_real_stages() -> None:
    x = (1, 32, 4, 4)
    assert summary(BinaryConv2d(32, 4, 3, activation=None), x).macs_by_precision == {(1, 32): 4 * 4 * 32 * 9}
    two = summary(BinaryConv2d(32, 4, 3, method="dorefa", w_bits=2, a_bits=2), x)
    assert list(two.macs_by_precision) == [(2, 2)]
    assert two.bytes == 2 * 4 * 9 * 4 + 2 * (4 + 4 + 1 + 1) * 4  # two weight planes: bits, scale, bias, gain, offset
    staged = BinaryConv2d(32, 4, 3)
    set_stage(staged, "activations")
    real = summary(staged, x)
    assert list(real.macs_by_precision) == [(32, 32)]
    assert real.bytes == 4 * staged.weight.numel()


def test_several_inputs_and_bad_examples() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.a(x + y)

    assert summary(Two(), (torch.zeros(1, 3), torch.zeros(1, 3))).float_macs == 9
    for bad in ("3x3", (), 5):
        with pytest.raises(TypeError, match="summary needs"):
            summary(Two(), bad)  # type: ignore[arg-type]
