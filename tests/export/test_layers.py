"""Eval layer == frozen layer == onnxruntime on the exported node == the definition, exactly, for every geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bitwright.export import PackedConv, PackedConvTranspose, PackedEmbedding, PackedLinear, pack_layer
from bitwright.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryConv3d,
    BinaryConvTranspose2d,
    BinaryEmbedding,
    BinaryLayer,
    BinaryLinear,
)

from .oracles import loops, run_packed, scramble, tricky

METHODS: list[dict[str, Any]] = [
    {"method": "bnn"},  # one threshold, ±1, no scale
    {"method": "reactnet"},  # thresholds and scales per channel
    {"method": "dorefa"},  # {0,1}, threshold beside 0.5, one scale
    {"method": "bnn", "activation": {"shift": "channel", "low": 0.0}},  # {0,1}, thresholds per channel
]
FAST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def prepared(layer: BinaryLayer) -> BinaryLayer:
    scramble(layer)
    return layer.eval()


def check(layer: BinaryLayer, x: np.ndarray) -> torch.Tensor:
    """All sides are equal, NaN nowhere; returns the output."""
    packed = pack_layer(layer)
    with torch.no_grad():
        wanted = layer(torch.from_numpy(x))
        got = packed(torch.from_numpy(x))
    assert got.dtype == torch.float32
    assert torch.equal(got, wanted)
    np.testing.assert_array_equal(run_packed(packed, x), wanted.numpy(), strict=True)
    return wanted


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[BinaryLayer, tuple[int, ...]]:
    rank = draw(st.integers(1, 3))
    spatial = st.tuples(*[st.integers(1, 6 if rank < 3 else 4)] * rank)
    small = st.tuples(*[st.integers(1, 3)] * rank)
    method = draw(st.sampled_from(METHODS))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = groups * draw(st.sampled_from([1, 3, 33])), groups * draw(st.integers(1, 3))
    options: dict[str, Any] = dict(method)
    zero_one = method["method"] == "dorefa" or "activation" in method
    if draw(st.booleans()):
        options["pad_mode"] = "replicate"
    else:
        options["pad_value"] = draw(st.sampled_from([0, 1] if zero_one else [-1, 0, 1]))
    stride = draw(small)
    padding = draw(st.one_of(st.tuples(*[st.integers(0, 2)] * rank), st.just("same")))
    if padding == "same":
        stride = (1,) * rank
    layer = (BinaryConv1d, BinaryConv2d, BinaryConv3d)[rank - 1](
        channels,
        outputs,
        draw(small),
        stride,
        padding,
        draw(small),
        groups,
        bias=draw(st.booleans()),
        **options,
    )
    size = draw(spatial)
    room = [
        n + b + e - d * (k - 1)
        for n, b, e, d, k in zip(size, layer.pads_begin, layer.pads_end, layer.dilation, layer.kernel_size, strict=True)
    ]
    assume(min(room) >= 1)
    return prepared(layer), (2, channels, *size)


@FAST
@given(case=convolutions())
def test_conv(kernels: str, case: tuple[BinaryLayer, tuple[int, ...]]) -> None:
    layer, shape = case
    packed = pack_layer(layer)
    assert isinstance(packed, PackedConv)
    x = tricky(shape, packed.threshold.numpy())
    wanted = check(layer, x)
    np.testing.assert_array_equal(loops(packed, x), wanted.numpy())


@FAST
@given(
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=st.sampled_from([1, 2]),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    options=st.sampled_from(METHODS),
    bias=st.booleans(),
)
def test_conv_transpose(
    kernels: str,
    stride: tuple[int, int],
    kernel: tuple[int, int],
    padding: tuple[int, int],
    dilation: int,
    extra: tuple[int, int],
    groups: int,
    size: tuple[int, int],
    options: dict[str, Any],
    bias: bool,
) -> None:
    assume(all(e < max(s, dilation) for e, s in zip(extra, stride, strict=True)))
    result = [
        (n - 1) * s + dilation * (k - 1) + 1 + e - 2 * p
        for n, s, k, e, p in zip(size, stride, kernel, extra, padding, strict=True)
    ]
    assume(min(result) >= 1)
    layer = prepared(
        BinaryConvTranspose2d(5 * groups, 3 * groups, kernel, stride, padding, extra, groups, bias, dilation, **options)
    )
    packed = pack_layer(layer)
    assert isinstance(packed, PackedConvTranspose)
    x = tricky((2, 5 * groups, *size), packed.threshold.numpy())
    wanted = check(layer, x)
    assert list(wanted.shape[2:]) == result
    np.testing.assert_array_equal(loops(packed, x), wanted.numpy())


@pytest.mark.parametrize("options", METHODS, ids=str)
@pytest.mark.parametrize("shape", [(3, 37), (2, 4, 37), (37,), (2, 1, 3, 37)])
def test_linear(kernels: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    layer = prepared(BinaryLinear(37, 5, bias=len(shape) > 1, **options))
    packed = pack_layer(layer)
    assert isinstance(packed, PackedLinear)
    rows = tricky((max(1, int(np.prod(shape[:-1]))), 37), packed.threshold.numpy())
    x = rows.reshape(shape)
    wanted = check(layer, x)
    weight = np.where(layer.binary_spec().weight.numpy(), 1, -1)
    bits = np.where(rows >= packed.threshold.numpy(), 1, int(packed.attrs.low))
    sums = (bits @ weight.T).astype(np.float32)
    np.testing.assert_array_equal(
        (sums * packed.scale.numpy() + packed.bias.numpy()).reshape(wanted.shape), wanted.numpy()
    )


@pytest.mark.parametrize("method", ["bnn", "reactnet", "dorefa"])
def test_embedding(kernels: str, method: str) -> None:
    layer = prepared(BinaryEmbedding(11, 45, padding_idx=0, method=method))
    packed = pack_layer(layer)
    assert isinstance(packed, PackedEmbedding)
    ids = np.random.default_rng(0).integers(0, 11, (2, 7))
    check(layer, ids)
    assert torch.equal(packed(torch.from_numpy(ids).int()), layer(torch.from_numpy(ids)))
    for bad in (11, -1):
        with pytest.raises(IndexError):
            packed(torch.tensor([bad]))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (BinaryConv2d(5, 4, 3, padding=1, method="reactnet", activation=None, bias=True), (2, 5, 6, 5)),
        (BinaryConv2d(6, 4, 3, 2, 2, groups=2, activation=None, pad_mode="replicate"), (2, 6, 7, 7)),
        (BinaryConv1d(5, 4, 2, padding="same", activation=None, pad_value=-1, method="reactnet"), (2, 5, 7)),
        (BinaryConv3d(3, 2, 2, padding=1, dilation=2, activation=None), (1, 3, 4, 4, 4)),
        (BinaryConvTranspose2d(6, 4, 3, 2, 1, 1, 2, method="reactnet", activation=None), (2, 6, 4, 4)),
        (BinaryLinear(37, 5, bias=True, method="reactnet", activation=None), (3, 37)),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else type(value).__name__,
)
def test_weight_only_layers_keep_real_inputs(layer: BinaryLayer, shape: tuple[int, ...]) -> None:
    prepared(layer)
    packed = pack_layer(layer)
    x = torch.randn(shape)
    with torch.no_grad():
        assert torch.equal(packed(x), layer(x))
        assert not torch.equal(packed(2 * x), packed(x))
    assert packed.weight.dtype == torch.uint8


def test_empty_batch(kernels: str) -> None:
    layer = prepared(BinaryConv2d(3, 4, 3, padding=1))
    assert pack_layer(layer)(torch.zeros(0, 3, 5, 5)).shape == (0, 4, 5, 5)
    linear = prepared(BinaryLinear(7, 4))
    assert pack_layer(linear)(torch.zeros(0, 7)).shape == (0, 4)
