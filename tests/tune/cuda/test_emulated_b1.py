"""The 1-bit kernels' own source, run lane by lane: every format, output, instruction and geometry, bit for bit."""

from __future__ import annotations

import pytest

from bitwright.tune import Config, Problem
from bitwright.tune.cuda import Conv2d, model
from bitwright.tune.cuda.families import MmaB1, WgmmaB1

from .harness import emulate, needs_compiler

pytestmark = needs_compiler

A100, H100, T4 = model("a100"), model("h100"), model("t4")
AND, XOR, TURING = "m16n8k256.and", "m16n8k256.xor", "m8n8k128.xor"


def mma(instruction: str = AND, **values: int) -> Config:
    tile = {"bm": 64, "bn": 64, "bk": 256, "wm": 32, "wn": 32, "stages": 2 if instruction == TURING else 3}
    run = {"swizzle": values.pop("swizzle", 1), "split": values.pop("split", 1)}
    return Config.of("mma_b1", {**tile, "instruction": instruction, **values}, **run)


def wgmma(**values: int) -> Config:
    run = {"swizzle": values.pop("swizzle", 1), "split": values.pop("split", 1)}
    tile = {"bm": 64, "bn": 64, "bk": 256, "wm": 64, "stages": 3, **values}
    return Config.of("wgmma_b1", {**tile, "wn": tile["bn"]}, **run)


# One build each of several launches: sizes with and without tails in M, N and K, all schedules, copies early and late.
SIZES = [(1, 1, 1), (64, 64, 256), (70, 75, 300), (129, 66, 1100), (3, 200, 128)]


@pytest.mark.parametrize(
    ("config", "gpu"),
    [
        (mma(), A100),
        (mma(XOR), A100),
        (mma(TURING), T4),
        (mma(bm=16, bn=128, bk=512, wm=16, wn=64, stages=4), H100),
        (mma(bm=128, bn=32, bk=1024, wm=64, wn=32, stages=2), A100),
    ],
    ids=str,
)
def test_mma(config: Config, gpu: object) -> None:
    for seed, (m, n, k) in enumerate(SIZES):
        counts = emulate(MmaB1(), config, Problem("gemm", m, n, k), gpu, seed=seed, late=seed % 2 == 0, data=seed)
        assert counts.bank_conflicts == 0
        assert counts.mma > 0


@pytest.mark.parametrize(
    "config", [wgmma(), wgmma(bm=128, bn=32, bk=512, stages=4), wgmma(bm=128, bn=96, bk=1024, wm=128)], ids=str
)
def test_wgmma(config: Config) -> None:
    for seed, (m, n, k) in enumerate(SIZES):
        counts = emulate(WgmmaB1(), config, Problem("gemm", m, n, k), H100, seed=seed, late=seed % 2 == 0, data=seed)
        assert counts.wgmma > 0
        assert counts.mma == 0


@pytest.mark.parametrize("out", ["f32", "f16", "bf16", "bits"])
def test_outputs(out: str) -> None:
    for guard in (0, 3):
        emulate(MmaB1(), mma(), Problem("gemm", 70, 75, 300, out=out), A100, guard=guard)
    emulate(MmaB1(), mma(), Problem("gemm", 65, 132, 140, out=out), A100, seed=2)


def test_packed_outputs_of_wgmma() -> None:
    emulate(WgmmaB1(), wgmma(), Problem("gemm", 70, 75, 600, "s3", out="bits"), H100, seed=3)


@pytest.mark.parametrize("a", ["u1", "u3", "s2", "s8"])
def test_formats(a: str) -> None:
    for data in range(2):
        emulate(MmaB1(), mma(), Problem("gemm", 70, 75, 300, a), A100, data=data, late=bool(data))


def test_planes_by_xor() -> None:
    emulate(MmaB1(), mma(TURING), Problem("gemm", 70, 75, 300, "u3"), T4)


@pytest.mark.parametrize("out", ["s32", "bits"])
def test_split_k_and_swizzle(out: str) -> None:
    for swizzle, split in ((2, 2), (4, 8), (1, 4), (8, 1)):
        config = mma(swizzle=swizzle, split=split)
        emulate(MmaB1(), config, Problem("gemm", 130, 330, 1300, out=out), A100, seed=swizzle)


GEOMETRIES = [
    Conv2d(2, 7, 6, 70, (3, 3), (1, 1), (1, 1)),
    Conv2d(1, 9, 8, 130, (3, 2), (2, 1), (1, 0), (1, 2)),
    Conv2d(3, 4, 4, 32, (1, 1), (2, 2)),
]


@pytest.mark.parametrize("fill", [-1, 0, 1])
def test_convolutions(fill: int) -> None:
    for seed, geometry in enumerate(GEOMETRIES):
        conv = Conv2d.parse(str(geometry).replace("fill=0", f"fill={fill}"))
        emulate(MmaB1(), mma(), conv.problem(40, out="bits"), A100, seed=seed)
        emulate(MmaB1(), mma(TURING), conv.problem(40), T4, seed=seed, late=False)
        emulate(WgmmaB1(), wgmma(), conv.problem(40), H100, seed=seed)


def test_convolution_of_planes_with_split_k() -> None:
    problem = Conv2d(2, 7, 6, 70, (3, 3), (1, 1), (1, 1)).problem(40, "u2")
    emulate(MmaB1(), mma(split=2), problem, A100)
    emulate(MmaB1(), mma(split=1), problem, A100, seed=4)
