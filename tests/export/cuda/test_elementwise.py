"""Operators that only compare or unpack bits, and W1A16 layers, on the CUDA path; emulated."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tune.cuda.harness import needs_compiler
from torch import nn

from bitwright.compiler.dialect import BinarizeAttrs, BinaryEmbeddingAttrs, UnpackWeightAttrs
from bitwright.export import WeightOnlyLinear, freeze, reference_ops
from bitwright.export.checks import PackedOperatorError
from bitwright.export.cuda import NotPreparedError, elementwise, explain, operators, run, run_elementwise
from bitwright.export.cuda.operators import with_executor
from bitwright.export.half_linear import HalfLinearAttrs
from bitwright.nn import BinaryEmbedding
from bitwright.nn.packing import pack_filters
from bitwright.tune import Config, Problem
from bitwright.tune.cuda import RefusedError
from bitwright.tune.cuda.emulator import EmulatorError
from bitwright.tune.cuda.families import Gemv

from .emulated import EmulatorLauncher, executor, launched, same_bits

GEMV = Config.of("gemv", {"threads": 64, "tm": 2, "form": "halves"})
TILE: dict[str, int | str] = {"bm": 64, "bn": 64, "bk": 128, "wm": 32, "wn": 32, "stages": 2, "form": "halves"}
WIDE = Config.of("mma_wide", TILE, swizzle=1, split=1)
RUN = {config: executor("a100", config) for config in (GEMV, WIDE)}
ANY = executor("a100")
many = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@needs_compiler
@many
@given(st.lists(st.integers(1, 7), min_size=2, max_size=4), st.booleans(), st.sampled_from([-1.0, 0.0]), st.data())
def test_binarize(shape: list[int], each: bool, low: float, data: Any) -> None:
    axis = data.draw(st.sampled_from([-1, *range(1, len(shape))]))
    x = torch.randn(shape)
    x.view(-1)[::5] = torch.tensor(float("nan"))
    x.view(-1)[1::7] = 0.0
    threshold = torch.randn(shape[axis] if each else 1).round()
    for given_x in (x, x.transpose(0, 1).contiguous().transpose(0, 1)):
        found = elementwise.binarize(ANY, given_x, threshold, BinarizeAttrs(low, axis))
        assert same_bits(found, reference_ops.binarize(x, threshold, low, axis % len(shape)))
        assert found.is_contiguous()


@needs_compiler
@many
@given(st.integers(1, 9), st.integers(1, 70), st.lists(st.integers(0, 4), max_size=2), st.booleans())
def test_embedding(entries: int, channels: int, shape: list[int], each: bool) -> None:
    ids = torch.randint(entries, shape)
    weight = pack_filters(torch.rand(entries, channels) < 0.5)
    scale = torch.randn(entries if each else 1)
    attrs = BinaryEmbeddingAttrs(channels)
    found = elementwise.binary_embedding(ANY, ids, weight, scale, attrs)
    assert same_bits(found, reference_ops.binary_embedding(ids, weight, scale, attrs))


@needs_compiler
@many
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 70))
def test_unpacked_weights(shape: list[int], channels: int) -> None:
    rows, *kernel = shape
    attrs = UnpackWeightAttrs((rows, channels, *kernel))
    weight = pack_filters(torch.rand(attrs.shape) < 0.5)
    assert same_bits(elementwise.unpack_weight(ANY, weight, attrs), reference_ops.unpack_weight(weight, attrs))


@needs_compiler
@pytest.mark.parametrize("wrong", [-1, 5])
def test_an_id_outside_of_the_table_stops_the_kernel(wrong: int) -> None:
    weight = pack_filters(torch.rand(5, 8) < 0.5)
    with pytest.raises(EmulatorError, match="refuses its input"):
        elementwise.binary_embedding(ANY, torch.tensor([0, wrong]), weight, torch.ones(1), BinaryEmbeddingAttrs(8))


@needs_compiler
def test_they_are_loaded_before_a_capture() -> None:
    by = executor()
    assert isinstance(by.launcher, EmulatorLauncher)
    by.launcher.is_capturing = True
    with pytest.raises(NotPreparedError, match="binarize runs for the first time"):
        elementwise.binarize(by, torch.randn(2, 3), torch.zeros(1), BinarizeAttrs(-1.0, 1))


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("config", [GEMV, WIDE], ids=["gemv", "mma_wide"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 4), max_size=2), st.integers(1, 300), st.integers(1, 70), st.integers(0, 99))
def test_half_linear(
    config: Config, dtype: torch.dtype, rows: list[int], features: int, outputs: int, seed: int
) -> None:
    """Integers, whose float32 sums are exact in any order: bit for bit the reference."""
    g = torch.Generator().manual_seed(seed)
    if config is GEMV and torch.Size(rows).numel() < 2:
        rows = [2, *rows]
    x = torch.randint(-64, 65, (*rows, features), generator=g).to(dtype)
    weight = pack_filters(torch.rand(outputs, features, generator=g) < 0.5)
    vectors = [torch.rand(outputs, generator=g) + 0.1, torch.randn(outputs, generator=g)]
    attrs = HalfLinearAttrs(features, "f16" if dtype == torch.float16 else "bf16")
    expected = reference_ops.half_linear(x, weight, vectors[0], vectors[1], attrs)
    for given_x in (x, torch.stack([x, x], -1)[..., 0]):
        found = with_executor(RUN[config], "half_linear", given_x, weight, vectors, attrs)
        assert found.dtype == dtype
        assert torch.equal(found.view(torch.int16), expected.view(torch.int16))


@needs_compiler
@pytest.mark.parametrize("device", ["t4", "a100", "h100", "b200"])
@pytest.mark.parametrize("rows", [1, 100])
def test_half_linear_by_the_defaults(device: str, rows: int) -> None:
    by, attrs = executor(device), HalfLinearAttrs(260, "f16")
    x, weight = torch.randn(rows, 260).half(), pack_filters(torch.rand(40, 260) < 0.5)
    vectors = [torch.rand(40) + 0.1, torch.randn(40)]
    found = with_executor(by, "half_linear", x, weight, vectors, attrs)
    sums = reference_ops.half_linear(x.double(), weight, vectors[0].double(), vectors[1].double(), attrs)
    torch.testing.assert_close(found.double(), sums, rtol=2e-3, atol=2e-3)
    assert len(launched(by)) == 1
    assert with_executor(by, "half_linear", x[:0], weight, vectors, attrs).shape == (0, 40)


@pytest.mark.parametrize("device", ["t4", "a100", "h100", "b200"])
@pytest.mark.parametrize("form", ["f16", "bf16"])
def test_which_family_decodes_and_which_reads_the_prompt(device: str, form: str) -> None:
    chooser = executor(device).chooser

    def chosen(rows: int) -> str:
        return chooser.choose(Problem("gemm", rows, 4096, 4096, form, out=form)).config.template

    one = Problem("gemm", 1, 4096, 4096, form, out=form)
    assert any(Gemv().why_invalid(c, one, chooser.device) is None for c in Gemv().space(one, chooser.device))
    assert chosen(1) in ("gemv", "mma_wide")  # what the analytic cost says, until a GPU is measured
    if (device, form) == ("t4", "bf16"):  # there gemv serves up to 64 rows
        with pytest.raises(RefusedError, match="sm_75 has no products of bfloat16"):
            chosen(2048)
    else:
        assert chosen(2048) == "mma_wide"


def weight_only() -> WeightOnlyLinear:
    weight = pack_filters(torch.rand(12, 40) < 0.5)
    return WeightOnlyLinear(weight, torch.rand(12) + 0.1, torch.randn(12), 40)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weight_only_layers_take_halves(dtype: torch.dtype) -> None:
    layer, x = weight_only(), torch.randint(-9, 9, (3, 5, 40)).to(dtype)
    assert torch.equal(layer(x), layer(x.float()).to(dtype))
    torch.library.opcheck(torch.ops.bitwright.half_linear.default, (x, layer.weight, layer.scale, layer.bias, 40))
    assert torch.equal(torch.compile(layer, backend="aot_eager", fullgraph=True)(x), layer(x))
    (met,) = explain(layer, x, device="a100")
    assert met.op == "half_linear"
    assert met.choice is not None
    assert met.choice.config.template in ("gemv", "mma_wide")


def test_bad_half_linear_is_named() -> None:
    layer, x = weight_only(), torch.randn(3, 40).half()
    call = torch.ops.bitwright.half_linear
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((x.float(), layer.weight, layer.scale, layer.bias, 40), "float16 or bfloat16, got torch.float32"),
        ((x, layer.weight, layer.scale, layer.bias, 41), r"x must have shape \[..., 41\]"),
        ((x, layer.weight.int(), layer.scale, layer.bias, 40), "weight must be packed bits"),
        ((x, layer.weight, layer.scale[:3], layer.bias, 40), r"scale must be float32 \[12\]"),
        ((x, layer.weight, layer.scale, layer.bias.half(), 40), r"bias must be float32 \[12\]"),
    ]
    for args, message in cases:
        with pytest.raises(PackedOperatorError, match=message):
            call(*args)


def test_every_elementwise_operator_is_registered_for_cuda() -> None:
    for op in ("binarize", "binary_embedding", "unpack_weight", "half_linear"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"bitwright::{op}", "CUDA"), op


@needs_compiler
def test_how_they_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.no_grad())
    by = executor()
    monkeypatch.setattr(operators, "executor_of", lambda device: by)
    x, threshold = torch.randn(2, 3), torch.zeros(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(
            run_elementwise("binarize", x, threshold, BinarizeAttrs(-1.0, 1)), torch.where(x >= 0, 1.0, -1.0)
        )
        layer, halves = weight_only(), torch.ones(1, 40).half()
        found = run("half_linear", halves, layer.weight, [layer.scale, layer.bias], HalfLinearAttrs(40, "f16"))
        assert torch.equal(found, layer(halves))
    assert launched(by)[0] == "binarize"
    assert launched(by)[1] in ("gemv", "mma_wide")


def test_explain_names_their_kernel() -> None:
    net = freeze(nn.Sequential(BinaryEmbedding(7, 12, method="bnn")).eval())
    (met,) = explain(net, torch.tensor([1, 2]), device="h100")
    assert str(met) == "0: binary_embedding: unpack (one kernel, nothing to choose)"
