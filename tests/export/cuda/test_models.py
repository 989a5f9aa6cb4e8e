"""Frozen models on the CUDA path: explained, tuned, compiled, captured; the emulator in the GPU's place."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tune.cuda.emulated_gpu import EmulatedGpu
from tests.tune.cuda.harness import needs_compiler
from torch import Tensor, nn

import bitwright as bw
from bitwright.compiler.dialect import BinaryConvAttrs
from bitwright.export import freeze, native, use_reference_ops
from bitwright.export.cuda import Executor, PlainTorchWarning, calls, explain, operators, run, tune_module
from bitwright.export.cuda.operators import with_executor
from bitwright.export.cuda.tuning import problems_of
from bitwright.export.maps import channels_last, empty_map
from bitwright.nn import BinaryConv2d, BinaryLinear
from bitwright.nn.packing import pack_filters
from bitwright.tune import Problem, Store, TuneError
from bitwright.tune.cuda import Chooser, GpuReport, RefusedError, model

from .emulated import EmulatorLauncher, executor, launched


def network() -> nn.Module:
    torch.manual_seed(0)
    return freeze(
        nn.Sequential(
            nn.Conv2d(3, 40, 3, bias=False),
            BinaryConv2d(40, 24, 3, padding=1, method="bnn"),
            nn.BatchNorm2d(24),
            BinaryConv2d(24, 24, 3, groups=2, method="bnn"),
            nn.AvgPool2d(2),
            nn.Flatten(),
            BinaryLinear(24 * 16, 10, method="bnn"),
        ).eval()
    )


def emulated(monkeypatch: pytest.MonkeyPatch, run_by: Executor) -> None:
    """The operators' CPU kernels take the CUDA path."""
    for op in ("binary_conv", "binary_linear"):

        def kernel(x: Tensor, weight: Tensor, *rest: Any, op: str = op) -> Tensor:
            try:
                y = with_executor(run_by, op, x, weight, rest[:-1], rest[-1])
                return y.contiguous()  # what the shape functions say of the CPU
            except RefusedError:
                return operators.reference(op, x, weight, rest[:-1], rest[-1]).contiguous()

        monkeypatch.setattr(native, op, kernel)


@needs_compiler
def test_a_frozen_model_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(), torch.randn(2, 3, 12, 12)
    with torch.no_grad(), use_reference_ops():
        expected = net(x)
    by = executor("orin")
    emulated(monkeypatch, by)
    with torch.no_grad(), use_reference_ops(False):
        assert torch.equal(net(x), expected)
        launches = len(launched(by))
        assert launches >= 4
        # torch.compile sees the operators as they are, with the layout of their outputs
        assert torch.allclose(torch.compile(net, backend="aot_eager")(x), expected, atol=1e-5)
    assert len(launched(by)) == 2 * launches


def test_explain_needs_no_gpu(tmp_path: Path) -> None:
    net, x = network(), torch.randn(2, 3, 12, 12)
    first, grouped, last = explain(net, x, device="h100", store=Store(tmp_path))
    assert (first.layer, first.op) == ("1", "binary_conv")
    assert first.choice is not None
    assert first.choice.source == "default"
    assert str(first).startswith("1: binary_conv: conv2d 200x24x360 ")
    assert grouped.choice is not None
    assert " groups=2: direct " in str(grouped)
    assert last.choice is not None
    assert last.op == "binary_linear"
    if not torch.cuda.is_available():
        with pytest.raises(TuneError, match=r"no CUDA device 0|bitwright\[cuda\]"):
            explain(net, x)
        with pytest.raises(TuneError, match=r"no CUDA device 0|bitwright\[cuda\]"):
            tune_module(net, x)


def test_products_of_a_model_are_counted() -> None:
    layer = network()[1]  # type: ignore[index]
    twice = nn.Sequential(layer, nn.Conv2d(24, 40, 1), layer)
    counts = problems_of(twice, torch.randn(1, 40, 8, 8))
    assert list(counts.values()) == [2]


@needs_compiler
def test_a_block_of_tune_tunes_what_it_meets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device, store = model("orin"), Store(tmp_path)
    by = Executor(EmulatorLauncher(), Chooser(device, store, shipped=[]), EmulatedGpu)
    emulated(monkeypatch, by)
    net, x = network()[6], torch.randn(5, 384)  # type: ignore[index]
    with torch.no_grad(), use_reference_ops(False):
        before = net(x)
        with bw.tune(budget="1ms", store=store) as reports:
            net(x)
            net(x)
        (report,) = reports
        assert isinstance(report, GpuReport)
        (shape,) = report.shapes
        assert shape.problem == Problem("gemm", 5, 10, 384, out="f32")
        assert (shape.count, shape.source) == (2, "measured")
        assert not report.complete
        assert shape.dense is not None
        assert shape.chosen == by.chooser.choose(shape.problem).config
        assert report.over_dense == shape.dense / shape.after >= 1.0
        assert "as fast as dense products" in str(report)
        (record,) = store.records()
        assert len(record.history) == len(record.warm) >= 1
        assert by.chooser.choose(shape.problem).source == "measured"
        assert torch.equal(net(x), before)
        with bw.tune(budget="1ms", store=store) as again:
            net(x)
        assert [s.source for s in again[0].shapes] == ["known"]
        with pytest.raises(ValueError, match="x must have shape"), bw.tune(store=store) as none:
            [net(torch.randn(9, size)) for size in (384, 3)]
        assert none == []


def test_an_executor_without_a_clock_says_so() -> None:
    with pytest.raises(TuneError, match="nothing that times"):
        executor().tune({})


def test_every_operator_with_a_kernel_is_registered_for_cuda() -> None:
    for op in ("binary_conv", "binary_conv_transpose", "binary_linear", "level_conv", "level_linear"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"bitwright::{op}", "CUDA"), op


def test_what_no_kernel_serves_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "_said", set())
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.no_grad())
    monkeypatch.setattr(operators, "executor_of", lambda device: executor())
    monkeypatch.setattr(calls, "_MOST", 10)
    attrs = BinaryConvAttrs((1, 1), (1, 1), (1, 1), (0,) * 4, 2, 8, -1.0, "constant", 0.0)
    x, weight = torch.randn(1, 16, 3, 3), pack_filters(torch.rand(4, 8, 1, 1) < 0.5)
    vectors = [torch.zeros(1), torch.ones(4), torch.zeros(4)]
    with pytest.warns(PlainTorchWarning, match="binary_conv runs in plain torch: 36 pixels or outputs"):
        y = run("binary_conv", x, weight, vectors, attrs)
    assert y.movedim(1, -1).is_contiguous()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(run("binary_conv", x, weight, vectors, attrs), y)
    with use_reference_ops():
        assert torch.equal(run("binary_conv", x, weight, vectors, attrs), y)


def test_outputs_on_cuda_lie_as_the_kernels_write_them() -> None:
    class OnCuda:
        device = torch.device("cuda")
        new_empty = staticmethod(torch.empty)

    for shape in ((2, 6, 5), (2, 6, 5, 4), (2, 6, 5, 4, 3)):
        on_cuda = empty_map(OnCuda(), shape)  # type: ignore[arg-type]
        assert on_cuda.shape == shape
        assert on_cuda.stride() == channels_last(torch.empty(shape)).stride()
        assert empty_map(torch.empty(1), shape).is_contiguous()
