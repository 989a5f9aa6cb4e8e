"""Kernels compiled by NVRTC for real architectures, without a GPU: no spills, and the instructions that were meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitwright.tune import Config, Problem, TuneError
from bitwright.tune.cuda import Conv2d, model
from bitwright.tune.cuda.compiler import available, compile_build, compile_source
from bitwright.tune.cuda.elementwise import BINARIZE, UNPACK
from bitwright.tune.cuda.families import CudaTemplate, Direct, Gemv, MmaB1, MmaWide, PopcGemm, WgmmaB1
from bitwright.tune.cuda.families.base import finish_build
from bitwright.tune.cuda.packing import PackBuild
from bitwright.tune.cuda.sass import Machine, machine_code

pytestmark = pytest.mark.skipif(available() is not None, reason=f"kernels need {available()}")

SQUARE = Problem("gemm", 4096, 4096, 4096)
CONV = Conv2d(8, 28, 28, 128, pad=(1, 1)).problem(128, out="bits")
AND, XOR, TURING = "m16n8k256.and", "m16n8k256.xor", "m8n8k128.xor"


def tile(template: str, bm: int, bn: int, bk: int, wm: int, wn: int, stages: int, **more: int | str) -> Config:
    values = {"bm": bm, "bn": bn, "bk": bk, "wm": wm, "wn": wn, "stages": stages, **more}
    return Config.of(template, values, swizzle=1, split=1)


def machine_of(
    template: CudaTemplate, config: Config, problem: Problem, gpu: str, folder: Path, arch: str | None = None
) -> Machine:
    device = model(gpu)
    if arch is None:
        assert template.why_invalid(config, problem, device) is None
    build = template.build_of(config, problem, device)
    (found,) = machine_code(compile_build(build, arch or str(device["target"]), folder).cubin)
    assert found.name == build.kernel
    assert found.registers * build.threads <= 65536
    return found


# GPU, config, problem, 1-bit products in the code: of one step of K of a warp.
PORTFOLIO = [
    ("t4", tile("mma_b1", 128, 128, 512, 32, 64, 2, instruction=TURING), SQUARE, 4 * 2 * 8 * 2),
    ("a100", tile("mma_b1", 128, 128, 512, 64, 64, 3, instruction=AND), SQUARE, 4 * 8 * 2),
    ("a100", tile("mma_b1", 128, 256, 512, 64, 64, 3, instruction=XOR), SQUARE, 4 * 8 * 2),
    ("rtx3090", tile("mma_b1", 64, 64, 1024, 32, 32, 3, instruction=AND), CONV, 2 * 4 * 4),
    (
        "l4",
        tile("mma_b1", 128, 64, 512, 64, 32, 4, instruction=AND),
        Problem("gemm", 4096, 4096, 4096, "u2"),
        4 * 4 * 2,
    ),
    ("h100", tile("mma_b1", 128, 128, 512, 64, 64, 4, instruction=AND), SQUARE, 4 * 8 * 2),
]


@pytest.mark.parametrize(("gpu", "config", "problem", "products"), PORTFOLIO, ids=str)
def test_mma_b1(gpu: str, config: Config, problem: Problem, products: int, tmp_path: Path) -> None:
    found = machine_of(MmaB1(), config, problem, gpu, tmp_path)
    assert found.spills == 0
    assert found.instructions["BMMA"] == products
    assert found.instructions["IMMA"] == 0
    assert found.instructions["POPC"] <= 32, "the product is not done by the tensor cores"
    assert found.instructions["LDSM"] > 0
    assert (found.instructions["LDGSTS"] > 0) == (gpu != "t4")


@pytest.mark.parametrize(
    ("config", "problem", "products"),
    [
        (tile("wgmma_b1", 128, 128, 1024, 64, 128, 4), SQUARE, 4),
        (tile("wgmma_b1", 128, 256, 512, 64, 256, 4), SQUARE, 2),
        (tile("wgmma_b1", 128, 64, 1024, 64, 64, 4), CONV, 4),
        (tile("wgmma_b1", 128, 64, 512, 128, 64, 4), Problem("gemm", 4096, 4096, 4096, "s4", out="f16"), 4),
    ],
    ids=str,
)
def test_wgmma_b1(config: Config, problem: Problem, products: int, tmp_path: Path) -> None:
    found = machine_of(WgmmaB1(), config, problem, "h100", tmp_path)
    assert found.spills == 0
    assert found.instructions["BGMMA"] == products
    assert found.instructions["BMMA"] == found.instructions["IMMA"] == 0


def test_what_would_happen_without_the_refusals(tmp_path: Path) -> None:
    """xor from sm_90 on, and any 1-bit product from sm_100 on, compile without a warning and are emulated."""
    xor = tile("mma_b1", 64, 64, 512, 32, 32, 3, instruction=XOR)
    both = tile("mma_b1", 64, 64, 512, 32, 32, 3, instruction=AND)
    assert MmaB1().why_invalid(xor, SQUARE, model("h100")) is not None
    assert MmaB1().why_invalid(both, SQUARE, model("b200")) is not None
    native = 2 * 4 * 2
    assert machine_of(MmaB1(), both, SQUARE, "h100", tmp_path).instructions["BMMA"] == native
    assert machine_of(MmaB1(), xor, SQUARE, "h100", tmp_path, "sm_90").instructions["BMMA"] != native
    emulated = machine_of(MmaB1(), both, SQUARE, "b200", tmp_path, "sm_100")
    assert emulated.instructions["BMMA"] == 0
    assert emulated.instructions["IMMA"] > 0


@pytest.mark.parametrize(
    ("form", "a", "out", "kind"),
    [
        ("planes", "pm1", "s32", "IMMA"),
        ("bytes", "s8", "f16", "IMMA"),
        ("halves", "f16", "f16", "HMMA"),
        ("halves", "bf16", "bf16", "HMMA"),
    ],
)
@pytest.mark.parametrize("gpu", ["t4", "h100", "b200"])
def test_mma_wide(gpu: str, form: str, a: str, out: str, kind: str, tmp_path: Path) -> None:
    config = tile("mma_wide", 64, 64, 128, 32, 32, 2, form=form)
    if (gpu, a) == ("t4", "bf16"):
        why = MmaWide().why_invalid(config, Problem("gemm", 4096, 4096, 4096, a, out=out), model(gpu))
        assert why == "sm_75 has no products of bfloat16"
        return
    found = machine_of(MmaWide(), config, Problem("gemm", 4096, 4096, 4096, a, out=out), gpu, tmp_path)
    assert found.spills == 0
    per_step = 2 * 4 * 128 // (16 if form == "halves" else 32)
    assert found.instructions[kind] == per_step * (1 if gpu != "t4" else 2 if form == "halves" else 4)


@pytest.mark.parametrize("gpu", ["t4", "a100", "rtx5090"])
def test_cuda_cores(gpu: str, tmp_path: Path) -> None:
    config = tile("popc_gemm", 64, 64, 256, 8, 64, 2)
    found = machine_of(PopcGemm(), config, SQUARE, gpu, tmp_path)
    assert found.spills == 0
    assert found.instructions["POPC"] >= 8 * 2 * 4 * 2
    for form, a in (("planes", "pm1"), ("bytes", "s8"), ("halves", "f16"), ("halves", "bf16")):
        gemv = Config.of("gemv", {"threads": 256, "tm": 4, "form": form})
        problem = Problem("gemm", 4, 4096, 4096, a, out="f16")
        assert machine_of(Gemv(), gemv, problem, gpu, tmp_path).spills == 0


@pytest.mark.parametrize("gpu", ["t4", "a100", "h100", "b200"])
def test_direct_convolutions(gpu: str, tmp_path: Path) -> None:
    config = Config.of("direct", {"threads": 128, "tm": 4})
    depthwise = Conv2d(8, 28, 28, 256, pad=(1, 1), groups=256)
    deep = Conv2d(8, 14, 14, 64, (2, 2), (2, 2), d=8, kernel_d=2, stride_d=2, transposed=1)
    for conv, a, out in ((depthwise, "pm1", "f32"), (depthwise, "s4", "bits"), (deep, "u1", "f16")):
        found = machine_of(Direct(), config, conv.problem(256, a, out=out), gpu, tmp_path)
        assert found.spills == 0
        assert found.instructions["POPC"] >= 4, "a popcount a pixel"


def test_the_other_kernels(tmp_path: Path) -> None:
    main = MmaB1().build_of(PORTFOLIO[1][1], CONV, model("a100"))
    builds = [finish_build(CONV, main.logic), PackBuild("f32", 1, True), PackBuild("bf16", 4, False), UNPACK, BINARIZE]
    for build in (b.build if isinstance(b, PackBuild) else b for b in builds):
        for arch in ("sm_75", "sm_90"):
            (found,) = machine_code(compile_build(build, arch, tmp_path).cubin)
            assert found.spills == 0


def test_the_cache_is_keyed_and_checked(tmp_path: Path) -> None:
    build = MmaB1().build_of(PORTFOLIO[1][1], SQUARE, model("a100"))
    first = compile_build(build, "sm_80", tmp_path)
    (path,) = tmp_path.iterdir()
    stamp = path.stat().st_mtime_ns
    assert compile_build(build, "sm_80", tmp_path) == first
    assert path.stat().st_mtime_ns == stamp, "compiled again"
    path.write_bytes(path.read_bytes()[:-1])
    assert compile_build(build, "sm_80", tmp_path) == first, "a damaged file is compiled again"
    compile_build(build, "sm_86", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_errors_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"(?s)NVRTC refused the kernel for sm_80.*no_such_type"):
        compile_source("no_such_type x;", "sm_80")
    build = MmaB1().build_of(PORTFOLIO[1][1], SQUARE, model("a100"))
    with pytest.raises(TuneError, match="arch is 'hopper'"):
        compile_build(build, "hopper", tmp_path)
    with pytest.raises(TuneError, match="no 64-bit ELF"):
        machine_code(b"nothing")
    with pytest.raises(TuneError, match="a damaged cubin"):
        machine_code(compile_build(build, "sm_80", tmp_path).cubin[:200])
