"""Activations of several bits: eval layer == frozen layer == onnxruntime == engine, exactly, and whole networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

import bitwright as bw
from bitwright.export import (
    PackedLayer,
    PackedLevelConv,
    PackedLevelLinear,
    PackedOperatorError,
    freeze,
    pack_layer,
    to_onnx,
)
from bitwright.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryConv3d,
    BinaryConvTranspose2d,
    BinaryLayer,
    BinaryLinear,
    NotPackableError,
)
from bitwright.runtime import Session

from .oracles import run_node, scramble

FAST = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tricky(shape: tuple[int, ...], bits: int, seed: int) -> np.ndarray:
    """Numbers around every tie between levels, NaN, infinities, both zeros."""
    random = np.random.default_rng(seed)
    top = 2**bits - 1
    x = random.uniform(-0.3, 1.4, shape).astype(np.float32)
    ties = ((random.integers(0, top + 1, shape) + 0.5) / top).astype(np.float32)
    pick = random.integers(0, 8, shape)
    x[pick == 0] = ties[pick == 0]
    x[pick == 1] = np.nextafter(ties, np.float32(-1))[pick == 1]
    x[pick == 2] = np.nextafter(ties, np.float32(2))[pick == 2]
    odd = random.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, 1.0], np.float32), shape)
    return np.where(pick == 3, odd, x)


def run_packed(layer: PackedLayer, x: np.ndarray) -> np.ndarray:
    buffers = {name: value.numpy() for name, value in layer.named_buffers()}
    inputs: dict[str, Any] = {"X": x, "W": buffers["weight"]}
    inputs |= {name: buffers[name] for name in ("gain", "offset", "scale", "bias")}
    return run_node(layer.attrs, inputs)  # type: ignore[arg-type]


def check(layer: BinaryLayer, x: np.ndarray) -> PackedLayer:
    scramble(layer)
    layer.eval()
    packed = pack_layer(layer)
    with torch.no_grad():
        wanted = layer(torch.from_numpy(x))
        assert torch.equal(packed(torch.from_numpy(x)), wanted)
    np.testing.assert_array_equal(run_packed(packed, x), wanted.numpy(), strict=True)  # type: ignore[arg-type]
    assert isinstance(packed, PackedLayer)
    return packed


@FAST
@given(
    rank=st.integers(1, 3),
    bits=st.integers(2, 8),
    groups=st.sampled_from([1, 2]),
    channels=st.sampled_from([1, 3, 33]),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    padding=st.integers(0, 2),
    edge=st.booleans(),
    bias=st.booleans(),
    size=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)
def test_conv(
    kernels: str,
    rank: int,
    bits: int,
    groups: int,
    channels: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: int,
    edge: bool,
    bias: bool,
    size: int,
    seed: int,
) -> None:
    assume(size + 2 * padding >= dilation * (kernel - 1) + 1)
    size = min(size, 4) if rank == 3 else size
    assume(size + 2 * padding >= dilation * (kernel - 1) + 1)
    layer = (BinaryConv1d, BinaryConv2d, BinaryConv3d)[rank - 1](
        channels * groups, 3 * groups, kernel, stride, padding, dilation, groups, bias=bias,
        method="dorefa", a_bits=bits, **({"pad_mode": "replicate"} if edge else {}),
    )  # fmt: skip
    packed = check(layer, tricky((2, channels * groups, *[size] * rank), bits, seed))
    assert isinstance(packed, PackedLevelConv)


@FAST
@given(
    bits=st.integers(2, 8),
    features=st.integers(1, 100),
    outputs=st.integers(1, 40),
    lead=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    seed=st.integers(0, 10**6),
)
def test_linear(kernels: str, bits: int, features: int, outputs: int, lead: list[int], seed: int) -> None:
    layer = BinaryLinear(features, outputs, bias=True, method="dorefa", a_bits=bits)
    packed = check(layer, tricky((*lead, features), bits, seed))
    assert isinstance(packed, PackedLevelLinear)


def test_eval_is_the_training_value() -> None:
    """The levels divided by the highest one, times the weights, as in training."""
    layer = BinaryConv2d(8, 6, 3, padding=1, method="dorefa", a_bits=3)
    x = torch.rand(2, 8, 5, 5) * 1.5 - 0.2
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), layer.train()(x))


def network(bits: int) -> nn.Sequential:
    """Every way to a layer of levels: behind a float stem, a batch norm, a pool, a flatten, a residual-free block."""
    net = nn.Sequential(
        nn.Conv2d(3, 40, 3, padding=1),
        nn.BatchNorm2d(40),
        BinaryConv2d(40, 33, 3, padding=1, method="dorefa", a_bits=bits),
        nn.BatchNorm2d(33),
        BinaryConv2d(33, 64, 3, stride=2, padding=1, method="dorefa", a_bits=bits),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(64),
        BinaryConv2d(64, 32, 1, groups=2, method="dorefa", a_bits=bits),
        nn.BatchNorm2d(32),
        BinaryConv2d(32, 32, 1, method="bnn"),
        nn.BatchNorm2d(32),
        nn.Flatten(),
        BinaryLinear(32 * 9, 50, method="dorefa", a_bits=bits),
        nn.BatchNorm1d(50),
        BinaryLinear(50, 10, method="dorefa", a_bits=bits),
    )
    scramble(net)
    return net.eval()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_networks_compile_and_verify(tmp_path: Path, bits: int) -> None:
    net = network(bits)
    x = torch.randn(20, 3, 12, 12)
    to_onnx(freeze(net), x[:2], tmp_path / "net.onnx")
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "plain.bwm", optimize=False)
    report = bw.compiler.verify(tmp_path / "net.onnx", tmp_path / "net.bwm", x.numpy())
    assert report.ok, str(report)
    with torch.no_grad():
        wanted = net(x).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    np.testing.assert_allclose(
        session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], wanted, rtol=1e-4, atol=1e-4
    )
    for name in ("net.bwm", "plain.bwm"):
        np.testing.assert_allclose(Session(tmp_path / name).run(x.numpy()), wanted, rtol=1e-4, atol=1e-4)
    inspected = str(bw.compiler.inspect(tmp_path / "net.bwm"))
    assert inspected
    # Behind a convolution no float map is written: the levels are stored by the epilogue.
    ops = Session(tmp_path / "net.bwm").ops()
    assert [op["steps"][-1] for op in ops if op["kind"] == "BCONV"].count("STORE_LEVELS") == 3


def test_a_network_of_integers_is_equal_on_every_input(tmp_path: Path) -> None:
    net = nn.Sequential(
        BinaryConv2d(3, 32, 3, padding=1, method="dorefa", a_bits=8),
        nn.BatchNorm2d(32),
        BinaryConv2d(32, 48, 3, padding=1, method="dorefa", a_bits=2),
        nn.BatchNorm2d(48),
        nn.Flatten(),
        BinaryLinear(48 * 36, 10, method="dorefa", a_bits=4),
    )
    scramble(net)
    net.eval()
    x = torch.randint(0, 256, (30, 3, 6, 6)).float() / 255
    to_onnx(freeze(net), x[:2], tmp_path / "net.onnx")
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    with torch.no_grad():
        np.testing.assert_array_equal(Session(tmp_path / "net.bwm").run(x.numpy()), net(x).numpy())


def test_what_has_no_planes_is_refused_with_a_reason() -> None:
    with pytest.raises(NotPackableError, match="a transposed convolution of 2-bit activations has no packed twin"):
        freeze(BinaryConvTranspose2d(3, 4, 3, method="dorefa", a_bits=2))
    with pytest.raises(ValueError, match="activations of several bits are padded with zeros: pad_value must be 0"):
        freeze(BinaryConv2d(3, 4, 3, padding=1, pad_value=1, method="dorefa", a_bits=2))


def test_bad_tensors() -> None:
    layer = pack_layer(BinaryLinear(7, 3, method="dorefa", a_bits=2))
    with pytest.raises(PackedOperatorError, match="LevelLinear: x must be float32"):
        layer(torch.zeros(2, 7, dtype=torch.float64))
    layer.offset = torch.zeros(3)
    with pytest.raises(PackedOperatorError, match=r"LevelLinear: offset must be float32 \[7\] or \[1\]"):
        layer(torch.zeros(2, 7))
