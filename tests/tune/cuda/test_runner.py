"""The runner's flow with the emulator in the GPU's place: what it proves, what it refuses, in which order it times."""

from __future__ import annotations

import pytest

from bitwright.tune import Config, Problem, TuneError, search, space_of, strategy_of
from bitwright.tune.cuda import Conv2d, emulator, model
from bitwright.tune.cuda.families import MmaB1
from bitwright.tune.cuda.runner import CudaRunner

from .emulated_gpu import EmulatedGpu
from .harness import needs_compiler
from .test_emulated_b1 import AND, TURING, mma

pytestmark = needs_compiler

ORIN = model("orin")  # few multiprocessors: small grids are worth their while


@pytest.mark.parametrize("out", ["s32", "bits"])
def test_right_candidates_are_timed_in_turn(out: str) -> None:
    gpu = EmulatedGpu()
    runner = CudaRunner(Problem("gemm", 100, 150, 1300, out=out), ORIN, gpu)
    first, second = mma(), mma(split=2)
    found = runner.measure([first, second], 2)
    assert not runner.failures
    assert [len(s) for s in found.values()] == [2, 2]
    one = ["mma_b1"], ["mma_b1", "finish"]
    # verified once each; the first call of each is timed twice to see whether it needs a graph; then in turn, the cache
    # cold and warm
    turns = [one[0] * 2, one[0] * 2, one[1] * 2, one[1] * 2, one[0] * 2, one[1] * 2]
    assert gpu.log == [*one[0], *one[1], *(kernel for turn in turns for kernel in turn)]
    assert gpu.prepared == [["mma_b1", "finish"]]
    assert {c: len(s) for c, s in runner.warm.items()} == {first: 2, second: 2}
    assert gpu.graphs == []
    runner.measure([first], 1)
    assert gpu.log[-2:] == ["mma_b1"] * 2
    assert len(gpu.log) == 3 + 18 + 2


def test_short_products_are_timed_in_graphs() -> None:
    gpu = EmulatedGpu(block_seconds=1e-7)
    runner = CudaRunner(Problem("gemm", 100, 150, 1300), ORIN, gpu)
    (samples,) = runner.measure([mma()], 3).values()
    ((cold, once), (warm, often)) = gpu.graphs
    assert cold
    assert not warm
    assert once == 1
    assert 1 < often <= 32
    assert samples == pytest.approx([samples[0]] * 3)
    (warm_samples,) = runner.warm.values()
    assert len(warm_samples) == 3
    alone = CudaRunner(Problem("gemm", 100, 150, 1300), ORIN, EmulatedGpu(), cold=False)
    alone.measure([mma()], 2)
    assert alone.warm == {}


@pytest.mark.parametrize(
    "problem",
    [Problem("gemm", 40, 66, 100, out="f16"), Conv2d(1, 6, 5, 70, pad=(1, 1)).problem(34, out="bits")],
    ids=str,
)
def test_a_whole_layer_packs_real_activations_first(problem: Problem) -> None:
    gpu = EmulatedGpu()
    runner = CudaRunner(problem, ORIN, gpu, cold=False, packs="f16")
    dense = Config.of("mma_dense", {"bm": 64, "bn": 64, "bk": 64, "wm": 32, "wn": 32, "stages": 3, "type": "s8"})
    dense = Config(dense.template, dense.compiled, (("split", 1), ("swizzle", 1)))
    runner.measure([mma(), dense], 1)
    assert not runner.failures
    assert gpu.log[:3] == ["pack", "mma_b1", "mma_dense"]
    assert gpu.log.count("pack") == gpu.log.count("mma_b1") > 1
    assert all(gpu.log[i - 1] == "pack" for i, name in enumerate(gpu.log) if name == "mma_b1")
    with pytest.raises(TuneError, match="f16 to u2 is not packed here; f32 and f16 to pm1 are"):
        CudaRunner(Problem("gemm", 8, 8, 8, "u2"), ORIN, gpu, packs="f16")


def test_what_cannot_run_is_a_failure_with_the_reason() -> None:
    runner = CudaRunner(Problem("gemm", 100, 150, 1300), ORIN, EmulatedGpu(), cold=False)
    wrong = [mma(TURING), Config.of("nothing"), mma(bm=48)]
    assert runner.measure(wrong, 1) == {}
    assert "four times as large" in runner.failures[wrong[0]]
    assert "no family 'nothing'" in runner.failures[wrong[1]]
    assert "no whole number of warp tiles" in runner.failures[wrong[2]]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("p.acc_mul * acc + term", "p.acc_mul * acc + term + (column == 7)", "outputs are wrong"),
        ("if (!valid || column >= p.n) continue;", "if (!valid) continue;", "overwritten|outside|outputs are wrong"),
        ("valid = row < p.m;", "valid = true;", "overwritten|outside"),
    ],
)
def test_wrong_kernels_are_never_timed(old: str, new: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = emulator.source_of
    assert old in right("mma_b1", {})
    monkeypatch.setattr(emulator, "source_of", lambda name, defines: right(name, defines).replace(old, new))
    runner = CudaRunner(Problem("gemm", 70, 75, 300), ORIN, EmulatedGpu(), cold=False)
    assert runner.measure([mma(AND)], 3) == {}
    (why,) = runner.failures.values()
    assert any(part in why for part in reason.split("|")), why


def test_a_search_over_the_emulated_gpu_ends_with_a_winner() -> None:
    problem = Problem("gemm", 64, 64, 512)
    space = space_of(problem, ORIN, [MmaB1()])
    few = type(space)(problem, ORIN, space.configs[:3], 0, space.refused)
    gpu = EmulatedGpu()
    outcome = search(
        few, strategy_of("exhaustive"), CudaRunner(problem, ORIN, gpu, cold=False), clock=lambda: gpu.clock
    )
    assert outcome.best in few.configs
    assert not outcome.failures
