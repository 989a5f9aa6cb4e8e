"""Dense products as candidates: right bit for bit, in every space, and chosen where they are the fastest."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitwright.tune import Config, Problem, Space, TuneError, search, space_of, strategy_of
from bitwright.tune.cuda import Conv2d, all_families, candidates, library, model
from bitwright.tune.cuda.compiler import available, compile_build
from bitwright.tune.cuda.families import CutlassB1, MmaB1, MmaDense, TorchDense, WgmmaDense
from bitwright.tune.cuda.runner import CudaRunner
from bitwright.tune.cuda.sass import machine_code

from .emulated_gpu import EmulatedGpu
from .harness import emulate, needs_compiler
from .test_emulated_b1 import mma

A100, H100, ORIN, T4 = model("a100"), model("h100"), model("orin"), model("t4")


def dense(kind: str = "s8", swizzle: int = 1, split: int = 1, **values: int) -> Config:
    tile = {"bm": 64, "bn": 64, "bk": 64 if kind == "s8" else 32, "wm": 32, "wn": 32, "stages": 3, **values}
    return Config.of("mma_dense", {**tile, "type": kind}, swizzle=swizzle, split=split)


def wide(split: int = 1, **values: int) -> Config:
    tile = {"bm": 64, "bn": 64, "bk": 64, "wm": 64, "stages": 3, **values}
    return Config.of("wgmma_dense", {**tile, "wn": tile["bn"]}, swizzle=1, split=split)


SIZES = [(1, 1, 1), (64, 64, 128), (70, 75, 300), (33, 130, 65)]


@needs_compiler
@pytest.mark.parametrize(
    ("kind", "a", "out"),
    [
        ("s8", "pm1", "s32"),
        ("s8", "u8", "bits"),
        ("s8", "s8", "f16"),
        ("f16", "pm1", "bits"),
        ("f16", "u8", "s32"),
        ("f16", "f16", "f32"),
    ],
)
def test_mma(kind: str, a: str, out: str) -> None:
    for seed, (m, n, k) in enumerate(SIZES):
        problem = Problem("gemm", m, n, k, a, out=out)
        counts = emulate(MmaDense(), dense(kind), problem, A100, seed=seed, late=seed % 2 == 0, data=seed)
        assert counts.mma > 0
        assert counts.bank_conflicts == 0


@needs_compiler
@pytest.mark.parametrize(("a", "out"), [("pm1", "s32"), ("u8", "f16")])
def test_wgmma(a: str, out: str) -> None:
    for seed, (m, n, k) in enumerate(SIZES):
        problem = Problem("gemm", m, n, k, a, out=out)
        assert emulate(WgmmaDense(), wide(), problem, H100, seed=seed, late=seed % 2 == 0, data=seed).wgmma > 0


@needs_compiler
def test_splits_of_k() -> None:
    problem = Problem("gemm", 40, 70, 1000)
    for config in (dense(split=2), dense("f16", split=4)):
        emulate(MmaDense(), config, problem, A100)
    emulate(WgmmaDense(), wide(split=2), problem, H100)


@needs_compiler
@pytest.mark.parametrize("fill", [-1, 0, 1])
def test_convolutions(fill: int) -> None:
    problem = Conv2d(2, 7, 6, 21, (3, 3), (2, 1), (1, 1), fill=fill).problem(40)
    emulate(MmaDense(), dense(), problem, A100, seed=fill + 1)
    emulate(MmaDense(), dense("f16"), problem, A100, seed=fill + 1)
    emulate(WgmmaDense(), wide(), problem, H100, seed=fill + 1)


@needs_compiler
@pytest.mark.parametrize(
    ("kind", "a", "out", "log"),
    [
        ("s8", "pm1", "s32", ["product s8"]),
        ("s8", "s4", "bits", ["product s8", "finish"]),
        ("f16", "u8", "s32", ["product f16", "finish"]),
        ("bf16", "pm1", "f16", ["product bf16", "finish"]),
        ("f16", "f16", "bf16", ["product f16", "finish"]),
    ],
)
def test_products_of_the_library(kind: str, a: str, out: str, log: list[str]) -> None:
    gpu = EmulatedGpu()
    runner = CudaRunner(Problem("gemm", 33, 72, 300, a, out=out), ORIN, gpu, cold=False)
    runner.measure([Config.of("torch_dense", {"type": kind})], 1)
    assert list(runner.failures.values()) == []
    assert gpu.log == log * (len(gpu.log) // len(log))
    assert len(gpu.log) >= 2 * len(log)


@needs_compiler
@pytest.mark.parametrize(("seconds", "winner"), [(1e-7, "torch_dense"), (1e-2, "mma_b1")])
def test_what_is_chosen_never_loses_to_dense(seconds: float, winner: str) -> None:
    problem = Problem("gemm", 64, 64, 512)
    whole = space_of(problem, ORIN, all_families())
    torch_ones = [c for c in whole.configs if c.template == "torch_dense"]
    assert len(torch_ones) == 3
    assert whole.configs[0].template == "mma_b1", "what runs without tuning is no dense product"
    few = Space(problem, ORIN, (mma(), *torch_ones), 0, ())
    gpu = EmulatedGpu(product_seconds=seconds, block_seconds=1e-6)
    runner = CudaRunner(problem, ORIN, gpu, cold=False)
    outcome = search(few, strategy_of("exhaustive"), runner, clock=lambda: gpu.clock)
    assert not outcome.failures
    assert outcome.best.template == winner
    assert outcome.history.time(outcome.best) <= min(outcome.history.time(c) for c in torch_ones) * 1.01


def test_every_space_has_a_dense_product() -> None:
    assert {"mma_dense", "wgmma_dense", "torch_dense"} <= {family.name for family in all_families()}
    for problem in (
        Problem("gemm", 4096, 4096, 4096),
        Problem("gemm", 1, 4096, 4096, "s8", out="f16"),
        Problem("gemm", 8, 4096, 4096, "f16", out="f16"),
        Problem("gemm", 100, 33, 70, "u3", out="bits"),
        Conv2d(8, 14, 14, 256, pad=(1, 1)).problem(256, out="bits"),
    ):
        for gpu in (T4, A100, H100, model("b200")):
            assert space_of(problem, gpu, [MmaDense()]).configs, f"{problem} on {gpu.name}"


def test_any_budget_reaches_the_dense_products() -> None:
    space = candidates(Problem("gemm", 4096, 4096, 4096), H100)
    first = [config.template for config in space.configs[:7]]
    assert first[0] == "wgmma_b1", "what runs without tuning is no dense product"
    assert sorted(first[1:6]) == ["mma_dense", *["torch_dense"] * 3, "wgmma_dense"]
    assert space.configs[6] == CutlassB1().baseline(space.problem, H100)
    same = space_of(space.problem, H100, all_families())
    assert sorted(map(str, space.configs)) == sorted(map(str, same.configs))
    assert space.configs[0] == same.configs[0]
    conv = candidates(Conv2d(8, 14, 14, 256, pad=(1, 1)).problem(256, out="bits"), model("b200"))
    assert conv.configs[1].template == "mma_dense"


@pytest.mark.parametrize(
    ("family", "config", "problem", "reason"),
    [
        (TorchDense(), "s8", Problem("gemm", 16, 64, 64), "takes 17 or more"),
        (TorchDense(), "s8", Problem("gemm", 32, 63, 64), "multiples of 8"),
        (TorchDense(), "s8", Problem("gemm", 32, 64, 64, "u8"), "exceed a signed byte"),
        (TorchDense(), "bf16", Problem("gemm", 32, 64, 64, "f16", out="f16"), "no numbers of type bf16"),
        (TorchDense(), "f16", Problem("gemm", 32, 64, 64, "f16"), "no integers"),
        (TorchDense(), "f16", Problem("gemm", 32, 64, 1 << 18, "s8"), "exceed 2^24"),
        (TorchDense(), "s8", Conv2d(1, 8, 8, 64).problem(64), "no convolution"),
        (MmaDense(), dense("s8"), Problem("gemm", 32, 64, 64, "f16", out="f16"), "no numbers of type s8"),
        (MmaDense(), dense("f16", split=2), Problem("gemm", 32, 64, 640, "f16", out="f16"), "depend on the order"),
        (MmaDense(), dense("f16"), Problem("gemm", 32, 64, 1 << 18, "s8"), "exceed 2^24"),
        (WgmmaDense(), wide(), Problem("gemm", 32, 64, 64), "has no wgmma"),
    ],
)
def test_refusals(family: TorchDense, config: Config | str, problem: Problem, reason: str) -> None:
    if isinstance(config, str):
        config = Config.of("torch_dense", {"type": config})
    assert reason in str(family.why_invalid(config, problem, A100))


def test_without_torch_on_a_gpu_is_one_clear_error() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TuneError, match="needs torch built for CUDA, and a GPU"):
        library.torch_product("s8", 0, 0, 0, (32, 64, 64), 0)


def test_torch_takes_the_calls() -> None:
    """As far as a machine without a GPU can tell: bytes on the CPU, halves by their shapes and types alone."""
    torch = pytest.importorskip("torch")
    a, w = torch.randint(-1, 2, (32, 64), dtype=torch.int8), torch.randint(-1, 2, (16, 64), dtype=torch.int8)
    sums = torch.empty(32, 16, dtype=torch.int32)
    library.multiply(a, w, sums)
    assert torch.equal(sums, a.int() @ w.int().T)
    for dtype in (torch.float16, torch.bfloat16):
        left, right = (torch.empty(rows, 64, dtype=dtype, device="meta") for rows in (32, 16))
        library.multiply(left, right, torch.empty(32, 16, device="meta"))


@pytest.mark.skipif(available() is not None, reason=f"kernels need {available()}")
@pytest.mark.parametrize(
    ("gpu", "config", "a", "kind", "products"),
    [
        (A100, dense(bm=128, bn=128, bk=64, wm=64, wn=64), "pm1", "IMMA", 4 * 8 * 2),
        (A100, dense("f16", bm=128, bn=128, bk=32, wm=64, wn=64), "pm1", "HMMA", 4 * 8 * 2),
        (H100, wide(bm=128, bn=128, bk=128), "u8", "IGMMA", 4),
        (T4, dense(bm=64, bn=64, bk=64, stages=2), "pm1", "IMMA", 2 * 4 * 2 * 4),
    ],
    ids=str,
)
def test_compiled(gpu: object, config: Config, a: str, kind: str, products: int, tmp_path: Path) -> None:
    problem = Problem("gemm", 4096, 4096, 4096, a)
    family = next(f for f in all_families() if f.name == config.template)
    assert family.why_invalid(config, problem, gpu) is None
    build = family.build_of(config, problem, gpu)
    (found,) = machine_code(compile_build(build, str(gpu["target"]), tmp_path).cubin)
    assert found.spills == 0
    assert found.instructions[kind] == products


def test_one_bit_products_do_not_read_numbers() -> None:
    """The layouts differ, so a choice of the dense product means other stored weights."""
    assert MmaB1().layout != MmaDense().layout == TorchDense().layout
