"""The CUDA path of the packed operators, emulated: layout, choice, arguments and output, bit for bit the reference."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from tests.tune.cuda.harness import needs_compiler
from torch import Tensor

from bitwright.compiler.dialect import (
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
)
from bitwright.export import reference_ops
from bitwright.export.cuda import Executor, NotPreparedError, call_of
from bitwright.export.cuda.operators import with_executor
from bitwright.nn.packing import pack_filters
from bitwright.tune import Config
from bitwright.tune.cuda import RefusedError

from .emulated import EmulatorLauncher, executor, launched, same_bits

pytestmark = needs_compiler

TILE: dict[str, int | str] = {"bm": 32, "bn": 32, "bk": 256, "wm": 32, "wn": 32, "stages": 2}
MMA = Config.of("mma_b1", {**TILE, "instruction": "m16n8k256.and"}, swizzle=1, split=1)
SPLIT = Config.of("mma_b1", {**TILE, "instruction": "m16n8k256.and"}, swizzle=1, split=2)
XOR = Config.of("mma_b1", {**TILE, "instruction": "m16n8k256.xor"}, swizzle=1, split=1)
BYTES = Config.of("gemv", {"threads": 64, "tm": 4, "form": "bytes"})
PLANES = Config.of("gemv", {"threads": 64, "tm": 4, "form": "planes"})


DENSE: dict[str, int | str] = {"bm": 64, "bn": 64, "wm": 32, "wn": 32, "stages": 3}
DENSE_S8 = Config.of("mma_dense", {**DENSE, "bk": 64, "type": "s8"}, swizzle=1, split=1)
DENSE_F16 = Config.of("mma_dense", {**DENSE, "bk": 32, "type": "f16"}, swizzle=1, split=1)
DENSE_SPLIT = Config.of("mma_dense", {**DENSE, "bk": 64, "type": "s8"}, swizzle=1, split=2)
TORCH = Config.of("torch_dense", {"type": "s8"})


def linear(
    rows: tuple[int, ...], features: int, outputs: int, attrs: Any, seed: int = 0, many: bool = True
) -> tuple[Tensor, Tensor, list[Tensor]]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(*rows, features, generator=g)
    x[..., 0] = 0.0
    x.view(-1)[::7] = float("nan")
    x.view(-1)[3::11] = float("inf")
    weight = pack_filters(torch.rand(outputs, features, generator=g) < 0.5)
    length = features if many else 1
    first = [torch.randn(length, generator=g) * 0.3]
    if isinstance(attrs, LevelLinearAttrs):
        first = [torch.rand(length, generator=g) * 2, torch.randn(length, generator=g)]
    return x, weight, [*first, torch.rand(outputs, generator=g) + 0.1, torch.randn(outputs, generator=g)]


def conv(
    attrs: Any, images: int = 2, size: tuple[int, ...] = (7, 6), outputs: int = 20, seed: int = 0
) -> tuple[Tensor, Tensor, list[Tensor]]:
    g = torch.Generator().manual_seed(seed)
    channels = attrs.group * attrs.channels
    x = torch.randn(images, channels, *size, generator=g)
    x.view(-1)[::13] = float("nan")
    weight = pack_filters(torch.rand(outputs, attrs.channels, *attrs.kernel_shape, generator=g) < 0.5)
    first = [torch.randn(channels, generator=g) * 0.3]
    if isinstance(attrs, LevelConvAttrs):
        first = [torch.rand(1, generator=g) * 2, torch.randn(1, generator=g)]
    return x, weight, [*first, torch.rand(outputs, generator=g) + 0.1, torch.randn(outputs, generator=g)]


def check(run: Executor, op: str, x: Tensor, weight: Tensor, vectors: list[Tensor], attrs: Any) -> Tensor:
    found = with_executor(run, op, x, weight, vectors, attrs)
    assert same_bits(found, getattr(reference_ops, op)(x, weight, *vectors, attrs))
    return found


@pytest.mark.parametrize("config", [MMA, SPLIT, XOR, PLANES], ids=["mma", "split", "xor", "gemv"])
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_binary_linear(config: Config, low: float) -> None:
    run = executor(config=config)
    sizes = [((5, 7), 1100, 40), ((33,), 1024, 33)] + ([((), 1, 1)] if config in (MMA, XOR) else [])
    for seed, (rows, features, outputs) in enumerate(sizes):
        attrs = BinaryLinearAttrs(features, low)
        x, weight, vectors = linear(rows, features, outputs, attrs, seed, many=seed % 2 == 0)
        y = check(run, "binary_linear", x, weight, vectors, attrs)
        assert y.shape == (*rows, outputs)
    assert ("finish" in launched(run)) == (config is SPLIT)


def test_rows_are_read_where_they_lie() -> None:
    run, attrs = executor(config=MMA), BinaryLinearAttrs(100, -1.0)
    x, weight, vectors = linear((40,), 100, 12, attrs)
    wide = torch.randn(40, 300)
    wide[:, 50:150] = x
    check(run, "binary_linear", wide[:, 50:150], weight, vectors, attrs)
    check(run, "binary_linear", x.t().contiguous().t(), weight, vectors, attrs)
    check(run, "binary_linear", x[:1].expand(9, 100), weight, vectors, attrs)


@pytest.mark.parametrize(("bits", "config"), [(1, MMA), (2, MMA), (5, PLANES), (8, BYTES)])
def test_level_linear(bits: int, config: Config) -> None:
    run = executor(config=config)
    for seed, many in enumerate((True, False)):
        attrs = LevelLinearAttrs(150, bits)
        check(run, "level_linear", *linear((3, 4), 150, 37, attrs, seed, many), attrs)
    attrs = LevelLinearAttrs(150, bits)
    x, weight, (gain, offset, scale, bias) = linear((5,), 150, 7, attrs, 5)
    check(run, "level_linear", x, weight, [gain, offset[:1], scale, bias], attrs)


@pytest.mark.parametrize("config", [DENSE_S8, DENSE_F16, DENSE_SPLIT, TORCH], ids=["s8", "f16", "split", "torch"])
def test_dense_products_where_they_were_faster(config: Config) -> None:
    run = executor(config=config)
    for low in (-1.0, 0.0):
        attrs = BinaryLinearAttrs(300, low)
        check(run, "binary_linear", *linear((33,), 300, 40, attrs), attrs)
    levels = LevelLinearAttrs(150, 8 if config is DENSE_S8 else 3)
    check(run, "level_linear", *linear((5, 7), 150, 40, levels), levels)
    if config is not TORCH:
        for change in ({}, {"pad_value": 1.0}, {"pad_value": -1.0}, {"low": 0.0}, {"pad_mode": "edge"}):
            case = conv_attrs(**change)
            check(run, "binary_conv", *conv(case), case)
    point = conv_attrs(70, kernel_shape=(1, 1), pads=(0, 0, 0, 0))
    check(run, "binary_conv", *conv(point, outputs=24), point)


def conv_attrs(channels: int = 40, **change: Any) -> BinaryConvAttrs:
    values: dict[str, Any] = {
        "kernel_shape": (3, 3),
        "strides": (1, 1),
        "dilations": (1, 1),
        "pads": (1, 1, 1, 1),
        "group": 1,
        "channels": channels,
        "low": -1.0,
        "pad_mode": "constant",
        "pad_value": 0.0,
    }
    return BinaryConvAttrs(**(values | change))


@pytest.mark.parametrize(
    "attrs",
    [
        conv_attrs(),
        conv_attrs(130, strides=(2, 1), dilations=(1, 2)),
        conv_attrs(pad_value=-1.0),
        conv_attrs(pad_value=1.0),
        conv_attrs(low=0.0),
        conv_attrs(low=0.0, pad_value=1.0),
        conv_attrs(pad_mode="edge"),
        conv_attrs(pads=(0, 1, 2, 1), pad_value=-1.0),
        conv_attrs(pads=(0, 1, 2, 1), pad_value=1.0),
        conv_attrs(pads=(0, 0, 0, 0), kernel_shape=(1, 1), channels=3),
        conv_attrs(pads=(0, 1, 2, 1), low=0.0),
    ],
    ids=str,
)
def test_binary_conv(attrs: BinaryConvAttrs) -> None:
    run = executor(config=MMA)
    x, weight, vectors = conv(attrs)
    y = check(run, "binary_conv", x, weight, vectors, attrs)
    assert y.movedim(1, -1).is_contiguous()
    last = x.contiguous(memory_format=torch.channels_last)
    check(run, "binary_conv", last, weight, vectors, attrs)
    check(run, "binary_conv", x[:, :, ::2], weight, vectors, attrs)  # rows of the map are not side by side
    check(run, "binary_conv", x[1:], weight, vectors, attrs)
    check(run, "binary_conv", x, weight, [vectors[0][:1], *vectors[1:]], attrs)


def test_convolutions_of_single_pixels_are_products() -> None:
    attrs = conv_attrs(70, kernel_shape=(1, 1), pads=(0, 0, 0, 0))
    x, weight, vectors = conv(attrs)
    call = call_of(x.shape, 20, attrs)
    assert call is not None
    assert str(call.problem) == "gemm 84x20x70 pm1*pm1->f32"
    check(executor(config=PLANES), "binary_conv", x[:1], weight, vectors, attrs)
    levels = LevelConvAttrs((1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 70, 8, "constant")
    x, weight, vectors = conv(levels)
    check(executor(config=BYTES), "level_conv", x[:1], weight, vectors, levels)


def test_conv_of_one_dimension() -> None:
    run = executor(config=MMA)
    attrs = BinaryConvAttrs((3,), (2,), (1,), (1, 1), 1, 70, -1.0, "constant", 0.0)
    x, weight, vectors = conv(attrs, size=(9,))
    assert check(run, "binary_conv", x, weight, vectors, attrs).shape == (2, 20, 5)


@pytest.mark.parametrize("bits", [1, 3])
@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_level_conv(bits: int, mode: str) -> None:
    attrs = LevelConvAttrs((3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 40, bits, mode)
    check(executor(config=MMA), "level_conv", *conv(attrs), attrs)
    uneven = LevelConvAttrs((3, 3), (1, 1), (1, 1), (0, 0, 1, 1), 1, 40, bits, mode)
    check(executor(config=MMA), "level_conv", *conv(uneven), uneven)


@pytest.mark.parametrize("device", ["t4", "a100", "h100", "b200"])
def test_defaults_of_each_generation(device: str) -> None:
    run, attrs = executor(device), BinaryLinearAttrs(300, -1.0)
    check(run, "binary_linear", *linear((70,), 300, 75, attrs), attrs)
    check(run, "binary_conv", *conv(conv_attrs()), conv_attrs())


GROUPS = conv_attrs(24, group=3)
DEEP = BinaryConvAttrs((3, 2, 3), (2, 1, 1), (1, 1, 1), (1, 0, 1, 0, 1, 1), 2, 20, -1.0, "constant", 0.0)


def transposed(rank: int, channels: int = 20, group: int = 1, low: float = -1.0) -> BinaryConvTransposeAttrs:
    kernel, stride, pads = (4, 3, 2)[:rank], (2, 2, 1)[:rank], (1, 0, 0)[:rank]
    return BinaryConvTransposeAttrs(kernel, stride, (1,) * rank, (*pads, *pads), (1, 0, 0)[:rank], group, channels, low)


@pytest.mark.parametrize(
    ("attrs", "size"),
    [
        (GROUPS, (7, 6)),
        (conv_attrs(1, group=40, low=0.0), (7, 6)),
        (conv_attrs(130, group=2, pad_mode="edge"), (5, 6)),
        (conv_attrs(pads=(0, 1, 2, 1)), (7, 6)),
        (conv_attrs(pads=(0, 1, 2, 1), group=4, channels=10, pad_value=1.0), (7, 6)),
        (LevelConvAttrs((3, 3), (1, 1), (1, 1), (0, 1, 1, 1), 4, 10, 3, "constant"), (5, 5)),
        (DEEP, (5, 4, 6)),
        (BinaryConvAttrs((2,) * 3, (1,) * 3, (1,) * 3, (1,) * 6, 1, 33, 0.0, "constant", 1.0), (3, 4, 3)),
        (transposed(1), (5,)),
        (transposed(2, 10, 2), (5, 4)),
        (transposed(2, low=0.0), (5, 4)),
        (transposed(3), (3, 4, 2)),
        (BinaryConvTransposeAttrs((1, 1), (1, 1), (1, 1), (0,) * 4, (0, 0), 1, 20, -1.0), (5, 4)),
    ],
    ids=str,
)
def test_what_the_direct_kernel_serves(attrs: Any, size: tuple[int, ...]) -> None:
    """By the defaults: whatever the geometry, no call is left to plain torch."""
    run, op = executor("h100"), "level_conv"
    if not isinstance(attrs, LevelConvAttrs):
        op = "binary_conv" if isinstance(attrs, BinaryConvAttrs) else "binary_conv_transpose"
    x, weight, vectors = conv(attrs, size=size, outputs=-(-20 // attrs.group) * attrs.group)
    y = check(run, op, x, weight, vectors, attrs)
    assert y.movedim(1, -1).is_contiguous()
    check(run, op, x.movedim(1, -1).contiguous().movedim(-1, 1), weight, vectors, attrs)
    check(run, op, x.transpose(-1, -2).contiguous().transpose(-1, -2), weight, vectors, attrs)
    weight.copy_(pack_filters(torch.rand(weight.shape[0], attrs.channels, *attrs.kernel_shape) < 0.5))
    check(run, op, x, weight, vectors, attrs)


def test_what_is_too_large_for_kernels() -> None:
    with pytest.raises(RefusedError, match="count them in 32 bits"):
        call_of((1 << 24, 40, 16, 16), 20, conv_attrs())


def test_nothing_to_compute() -> None:
    run, attrs = executor(), BinaryLinearAttrs(30, -1.0)
    x, weight, vectors = linear((4,), 30, 5, attrs)
    assert with_executor(run, "binary_linear", x[:0], weight, vectors, attrs).shape == (0, 5)
    x, weight, vectors = conv(conv_attrs())
    assert with_executor(run, "binary_conv", x[:0], weight, vectors, conv_attrs()).shape == (0, 20, 7, 6)
    assert not launched(run)


def test_weights_are_laid_out_once_and_freed_with_the_tensor() -> None:
    run, attrs = executor(config=MMA), conv_attrs()
    x, weight, vectors = conv(attrs)
    check(run, "binary_conv", x, weight, vectors, attrs)
    words, terms = run.weights.of(weight, 40, "pm1", "and", call_of(x.shape, 20, attrs).conv)  # type: ignore[union-attr]
    check(run, "binary_conv", x[:1], weight, vectors, attrs)  # another batch: the same terms
    again = run.weights.of(weight, 40, "pm1", "and", call_of(x[:1].shape, 20, attrs).conv)  # type: ignore[union-attr]
    assert again[0] is words
    assert again[1] is terms
    # written to: laid out again, where captured graphs read it
    weight.copy_(pack_filters(torch.rand(20, 40, 3, 3) < 0.5))
    check(run, "binary_conv", x, weight, vectors, attrs)
    fresh = run.weights.of(weight, 40, "pm1", "and", call_of(x.shape, 20, attrs).conv)  # type: ignore[union-attr]
    assert fresh[0] is words
    assert fresh[1] is terms
    assert len(run.weights) == 1
    del weight
    gc.collect()
    assert len(run.weights) == 0


def test_weights_of_inference_mode_are_never_stale() -> None:
    run, attrs = executor(config=MMA), BinaryLinearAttrs(100, -1.0)
    with torch.inference_mode():
        x, weight, vectors = linear((8,), 100, 12, attrs)
        check(run, "binary_linear", x, weight, vectors, attrs)
        weight.copy_(pack_filters(torch.rand(12, 100) < 0.5))
        check(run, "binary_linear", x, weight, vectors, attrs)


def test_a_capture_needs_a_run_before() -> None:
    run, attrs = executor(config=SPLIT), BinaryLinearAttrs(1100, -1.0)
    launcher = run.launcher
    assert isinstance(launcher, EmulatorLauncher)
    x, weight, vectors = linear((8,), 1100, 12, attrs)
    launcher.is_capturing = True
    with pytest.raises(NotPreparedError, match=r"kernels are not loaded \(pack, mma_b1, finish\).*Run the model once"):
        with_executor(run, "binary_linear", x, weight, vectors, attrs)
    launcher.is_capturing = False
    check(run, "binary_linear", x, weight, vectors, attrs)
    launcher.is_capturing = True
    before = list(launcher.loaded)
    check(run, "binary_linear", x, weight, vectors, attrs)
    assert launcher.loaded == before
    other = weight.clone()
    with pytest.raises(NotPreparedError, match="its weights are not laid out"):
        with_executor(run, "binary_linear", x, other, vectors, attrs)
