"""Packed edges: bits between binary layers, equal bit for bit to the unfused model; on CUDA's path by the emulator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tune.cuda.harness import needs_compiler
from torch import Tensor, nn

from bitwright.compiler.dialect import BinaryConvAttrs
from bitwright.export import PackedConv, PackedLinear, freeze, packed_edges, use_reference_ops
from bitwright.export.checks import PackedOperatorError
from bitwright.export.cuda import FuseError, PackedEdge, explain, fuse
from bitwright.export.cuda.fusing import cut_of
from bitwright.nn import BinaryConv2d, BinaryLinear
from bitwright.nn.packing import pack_filters

from .emulated import executor, launched, same_bits
from .test_operators import MMA, SPLIT, XOR, conv_attrs

many = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def disturbed(norm: Any) -> Any:
    """A batch norm of every kind of channel: factors below, at and above 0."""
    with torch.no_grad():
        norm.running_mean.normal_(0, 8)
        norm.running_var.uniform_(0.1, 60)
        norm.weight.normal_()
        norm.weight[::5] = 0.0
        norm.bias.normal_(0, 0.5)
    return norm


def vgg() -> nn.Module:
    torch.manual_seed(0)
    return freeze(
        nn.Sequential(
            nn.Conv2d(3, 24, 3),
            BinaryConv2d(24, 40, 3, padding=1, method="bnn"),
            disturbed(nn.BatchNorm2d(40)),
            BinaryConv2d(40, 33, 3, padding=1, method="bnn"),
            nn.Identity(),
            disturbed(nn.BatchNorm2d(33)),
            BinaryConv2d(33, 20, 1, method="bnn"),
            disturbed(nn.BatchNorm2d(20)),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            BinaryLinear(80, 50, method="bnn"),
            disturbed(nn.BatchNorm1d(50)),
            nn.Dropout(),
            BinaryLinear(50, 10, method="bnn"),
        ).eval()
    )


def test_a_fused_model_gives_every_bit() -> None:
    net = vgg()
    fused = fuse(net)
    edges = {name: m for name, m in fused.named_modules() if isinstance(m, PackedEdge)}
    assert {name: (m.reads, m.writes) for name, m in edges.items()} == {
        "1": (False, True),
        "3": (True, True),
        "6": (True, False),
        "10": (False, True),
        "13": (True, False),
    }
    assert "bits -> floats" in str(fused)
    for size in (7, 8, 13):
        x = torch.randn(3, 3, size, size)
        with torch.no_grad(), use_reference_ops():
            assert torch.equal(fused(x), net(x))
    with torch.no_grad():
        assert torch.equal(torch.compile(fused, backend="aot_eager")(x), fused(x))
    found = explain(fused, x, device="h100")
    assert [e.op for e in found] == [
        "pack_map", "packed_conv_bits", "packed_conv_bits", "packed_conv", "pack_map", "packed_conv_bits", "packed_conv"
    ]  # fmt: skip
    assert all(e.choice is not None or e.kernel == "pack" for e in found)
    assert "->bits " in str(found[1])
    assert "1" in dict(net.named_children()), "the given model stays as it was"
    assert isinstance(net[1], PackedConv)  # type: ignore[index]


@many
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 12), st.sampled_from([-1.0, 0.0]), st.integers(0, 9999))
def test_cuts_are_what_lies_between(taps: int, channels: int, outputs: int, low: float, seed: int) -> None:
    torch.manual_seed(seed)
    attrs = BinaryConvAttrs((taps,), (1,), (1,), (0, 0), 1, channels, low, "constant", 0.0)
    weight = pack_filters(torch.rand(outputs, channels, taps) < 0.5)
    layer = PackedConv(weight, torch.zeros(1), torch.randn(outputs), torch.randn(outputs), attrs)
    norm, threshold = disturbed(nn.BatchNorm1d(outputs)).eval(), torch.randn(outputs)
    thresholds, flips = cut_of(layer, [norm], threshold)
    sums = torch.arange(-taps * channels, taps * channels + 1)
    with torch.no_grad():
        real = threshold <= norm((sums.float()[:, None] * layer.scale + layer.bias).T.unsqueeze(0))[0].T
    assert torch.equal((sums[:, None] >= thresholds) ^ flips, real)


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (nn.Sequential(BinaryConv2d(8, 8, 3, method="bnn"), nn.ReLU()), "0: its output goes to ReLU"),
        (nn.Sequential(BinaryConv2d(8, 8, 3, method="bnn")), "0: its output goes to output"),
        (nn.Sequential(BinaryConv2d(8, 8, 3, method="bnn"), BinaryLinear(8, 8, method="bnn")), "in another layout"),
        (
            nn.Sequential(
                BinaryConv2d(8, 8, 3, method="bnn"),
                BinaryConv2d(8, 8, 3, padding=1, pad_mode="replicate", method="bnn"),
            ),
            "1 cannot read bits: its padding repeats the map's edge",
        ),
        (nn.Sequential(nn.Conv2d(3, 3, 1)), "there are none"),
    ],
    ids=range(5),
)
def test_why_not(net: nn.Module, reason: str) -> None:
    with pytest.raises(FuseError, match="no two binary layers can exchange bits") as found:
        fuse(freeze(net.eval()))
    assert reason in str(found.value)


def test_what_fx_cannot_trace_is_said() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(FuseError, match=r"torch\.fx cannot trace the model"):
        fuse(Odd().eval())


def test_a_shared_layer_keeps_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = BinaryConv2d(16, 16, 3, padding=1, method="bnn")
            self.norm = disturbed(nn.BatchNorm2d(16))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(self.norm(self.conv(x)))
            return y

    net = freeze(Twice().eval())
    x = torch.randn(2, 16, 5, 6)
    with torch.no_grad(), use_reference_ops():
        assert torch.equal(fuse(net)(x), net(x))


def case(attrs: BinaryConvAttrs, outputs: int, size: tuple[int, ...], seed: int) -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(seed)
    bits, sums = packed_edges.pack_map(torch.rand(2, *size, attrs.group * attrs.channels, generator=g) < 0.5)
    weight = pack_filters(torch.rand(outputs, attrs.channels, *attrs.kernel_shape, generator=g) < 0.5)
    a = (attrs.kernel_shape, attrs.strides, attrs.dilations, attrs.pads, attrs.group, attrs.channels, attrs.low)
    return bits, sums, weight, (*(list(v) if isinstance(v, tuple) else v for v in a), attrs.pad_mode, attrs.pad_value)


CASES = [
    (conv_attrs(40), 20, (7, 6)),
    (conv_attrs(130, pad_value=1.0), 33, (5, 6)),
    (conv_attrs(40, pad_value=-1.0, strides=(2, 1)), 150, (7, 6)),
    (conv_attrs(40, low=0.0), 20, (7, 6)),
    (conv_attrs(40, kernel_shape=(1, 1), pads=(0,) * 4), 20, (7, 6)),
    (BinaryConvAttrs((1,), (1,), (1,), (0, 0), 1, 1100, -1.0, "constant", 0.0), 40, (9,)),
]


@needs_compiler
@pytest.mark.parametrize("config", [MMA, SPLIT, XOR, None], ids=["mma", "split", "xor", "default"])
@pytest.mark.parametrize(("attrs", "outputs", "size"), CASES, ids=str)
def test_packed_convolutions_by_kernels(
    attrs: BinaryConvAttrs, outputs: int, size: tuple[int, ...], config: Any
) -> None:
    if config is SPLIT and attrs.taps * -(-attrs.channels // 128) < 4:
        pytest.skip("too few steps to split")
    by = executor(config=config)
    bits, sums, weight, rest = case(attrs, outputs, size, outputs)
    scale, bias = torch.randn(outputs), torch.randn(outputs)
    found = by.packed_conv(bits, sums, weight, {"scale": scale, "bias": bias}, attrs)
    assert isinstance(found, Tensor)
    assert same_bits(found, torch.ops.bitwright.packed_conv(bits, sums, weight, scale, bias, *rest))
    thresholds = torch.randint(-20, 20, (outputs,), dtype=torch.int32)
    thresholds[:2] = torch.tensor([2**31 - 1, -(2**31)])
    flips = torch.rand(outputs) < 0.3
    side = {"thresholds": thresholds, "flips": packed_edges.pack_map(flips)[0]}
    expected = torch.ops.bitwright.packed_conv_bits(bits, sums, weight, thresholds, side["flips"], *rest)
    for one, other in zip(by.packed_conv(bits, sums, weight, side, attrs), expected, strict=True):
        assert torch.equal(one, other)


@needs_compiler
def test_packed_convolutions_of_odd_geometries() -> None:
    for attrs in (conv_attrs(1, group=40), conv_attrs(24, group=2, pads=(0, 1, 2, 1))):
        by = executor("h100")
        bits, sums, weight, rest = case(attrs, 40, (6, 5), 3)
        thresholds, flips = torch.randint(-9, 9, (40,), dtype=torch.int32), torch.rand(40) < 0.5
        side = {"thresholds": thresholds, "flips": packed_edges.pack_map(flips)[0]}
        expected = torch.ops.bitwright.packed_conv_bits(bits, sums, weight, thresholds, side["flips"], *rest)
        for one, other in zip(by.packed_conv(bits, sums, weight, side, attrs), expected, strict=True):
            assert torch.equal(one, other)
        assert "direct" in launched(by)


@needs_compiler
@many
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 200), st.booleans(), st.booleans())
def test_packing_maps_by_a_kernel(size: list[int], channels: int, each: bool, last: bool) -> None:
    n, *inner = size
    x = torch.randn(n, channels, *inner)
    x.view(-1)[::9] = torch.tensor(float("nan"))
    x.view(-1)[1::9] = 0.0
    if last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    threshold = torch.randn(channels if each else 1).round()
    for one, other in zip(executor().pack_map(x, threshold), torch.ops.bitwright.pack_map(x, threshold), strict=True):
        assert torch.equal(one, other)


def test_operators_are_what_torch_expects() -> None:
    bits, sums, weight, rest = case(conv_attrs(40), 20, (4, 5), 0)
    vectors = (torch.randn(20), torch.randn(20))
    torch.library.opcheck(torch.ops.bitwright.pack_map.default, (torch.randn(2, 40, 3, 4), torch.zeros(40)))
    torch.library.opcheck(torch.ops.bitwright.packed_conv.default, (bits, sums, weight, *vectors, *rest))
    cut = (torch.zeros(20, dtype=torch.int32), packed_edges.pack_map(torch.rand(20) < 0.5)[0])
    torch.library.opcheck(torch.ops.bitwright.packed_conv_bits.default, (bits, sums, weight, *cut, *rest))
    for op in ("pack_map", "packed_conv", "packed_conv_bits"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"bitwright::{op}", "CUDA"), op
    call = torch.ops.bitwright.packed_conv
    edge = (*rest[:7], "edge", 0.0)
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((bits.long(), sums, weight, *vectors, *rest), "bits must be int32"),
        ((bits[..., :2], sums, weight, *vectors, *rest), "bits must be int32"),
        ((bits, sums[0], weight, *vectors, *rest), "sums must be int32"),
        ((bits, sums, weight[:, :3], *vectors, *rest), "weight must be packed bits"),
        ((bits, sums, weight, vectors[0][:3], vectors[1], *rest), r"vectors must have shape \[20\]"),
        ((bits, sums, weight, *vectors, *edge), "its padding repeats the map's edge"),
    ]
    for args, message in cases:
        with pytest.raises(PackedOperatorError, match=message):
            call(*args)
    with pytest.raises(PackedOperatorError, match="x must be float32"):
        torch.ops.bitwright.pack_map(torch.ones(2, 3).half(), torch.zeros(1))


def test_linear_edges_take_rows_only() -> None:
    net = freeze(nn.Sequential(BinaryLinear(30, 20, method="bnn"), BinaryLinear(20, 5, method="bnn")).eval())
    fused = fuse(net)
    assert isinstance(net[0], PackedLinear)  # type: ignore[index]
    with pytest.raises(ValueError, match=r"takes inputs \[N, F\], got \[2, 3, 'F'\]"):
        fused(torch.randn(2, 3, 30))
