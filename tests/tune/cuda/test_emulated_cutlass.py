"""CUTLASS's kernels on the host, lane by lane: their parameters, grids, rasters and sums, bit for bit.

Only the inline PTX of CUTLASS is replaced by the emulator's instructions (emulator/cutlass_host.py); the parameters are
filled in by the same kernel that a GPU would run.
"""

from __future__ import annotations

import ctypes
from itertools import product
from pathlib import Path

import pytest

from bitwright.tune import Config, Problem, TuneError
from bitwright.tune.cuda import calls, cutlass, emulator, model
from bitwright.tune.cuda.emulator import compiler
from bitwright.tune.cuda.emulator.cutlass_host import overlay
from bitwright.tune.cuda.families import CutlassB1
from bitwright.tune.cuda.families.cutlass_b1 import default_tile, log_tile
from bitwright.tune.cuda.runner import CudaRunner

from .emulated_gpu import EmulatedGpu


def missing() -> str | None:
    if compiler() is None:
        return "no host C++ compiler"
    try:
        cutlass.headers()
    except TuneError as error:
        return str(error)
    return None


pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

AND, XOR = "m16n8k256.and", "m16n8k256.xor"


def cut(instruction: str, *tile: int, swizzle: int = 1, split: int = 1) -> Config:
    names = ("bm", "bn", "bk", "wm", "wn", "stages")
    values: dict[str, int | str] = dict(zip(names, tile, strict=True))
    serial = int(split > 1)
    return Config.of(
        "cutlass_b1", {**values, "instruction": instruction, "serial": serial}, swizzle=swizzle, split=split
    )


def prove(config: Config, problem: Problem, gpu: str = "orin") -> list[str]:
    """Fails unless every bit is right; the kernels that ran."""
    machine = EmulatedGpu()
    runner = CudaRunner(problem, model(gpu), machine, cold=False, templates=[CutlassB1()])
    runner.measure([config], 1)
    assert list(runner.failures.values()) == []
    return machine.log


SMALL = (32, 64, 512, 32, 32, 3)


@pytest.mark.parametrize("n", [73, 70, 76])  # one, two and four columns at once
def test_tails_and_widths(n: int) -> None:
    log = prove(cut(XOR, *SMALL), Problem("gemm", 69, n, 1300))
    assert log[:2] == ["cutlass_b1_params", "cutlass_b1"]
    assert "finish" not in log, "CUTLASS's epilogue is enough"


def test_formats_and_outputs() -> None:
    """With one build: a second pass makes what CUTLASS's epilogue cannot."""
    for a, out, passes in (("pm1", "f32", 1), ("pm1", "bits", 1), ("u1", "s32", 0), ("u1", "f16", 1)):
        log = prove(cut(XOR, *SMALL), Problem("gemm", 40, 76, 700, a, out=out))
        assert log.count("finish") == passes * log.count("cutlass_b1"), f"{a} to {out}"


def test_rasters_and_sizes() -> None:
    for m, n, k, swizzle in ((1, 4, 1, 1), (100, 132, 128, 2), (33, 260, 512, 4), (65, 516, 300, 8), (40, 388, 640, 8)):
        columns = -(-n // 64)
        prove(cut(XOR, *SMALL, swizzle=1 << log_tile(swizzle, columns)), Problem("gemm", m, n, k))


def test_and_on_hopper() -> None:
    log = prove(cut(AND, *SMALL), Problem("gemm", 40, 76, 700), "h100")
    assert log.count("finish") == log.count("cutlass_b1") > 1, "the sums need a term of each row"


def test_split_k() -> None:
    for out in ("s32", "bits"):
        prove(cut(XOR, *SMALL, split=2), Problem("gemm", 40, 76, 2100, out=out))


ASKED = """
#include "cutlass/gemm/device/default_gemm_configuration.h"
#include "cutlass/gemm/threadblock/threadblock_swizzle.h"

using Size = cutlass::gemm::GemmCoord;

template <int N>
void grid_of(Size blocks, int* to) {
  using Swizzle = cutlass::gemm::threadblock::GemmIdentityThreadblockSwizzle<N>;
  dim3 grid = Swizzle::get_grid_shape(blocks);
  to[0] = grid.x, to[1] = grid.y, to[2] = grid.z, to[3] = Swizzle::get_log_tile(blocks);
}

// Of swizzles 1, 2, 4, 8: blocks in x, y, z, and the logarithm of the columns that are walked together.
extern "C" void grids(int rows, int columns, int split, int* to) {
  Size blocks(rows, columns, split);
  grid_of<1>(blocks, to), grid_of<2>(blocks, to + 4), grid_of<4>(blocks, to + 8), grid_of<8>(blocks, to + 12);
}

template <class Architecture>
void tile_of(int* to) {
  using namespace cutlass;
  using Class = arch::OpClassTensorOp;
  using Default = gemm::device::DefaultGemmConfiguration<Class, Architecture, uint1b_t, uint1b_t, int, int>;
  using Block = typename Default::ThreadblockShape;
  using Warp = typename Default::WarpShape;
  const int found[] = {Block::kM, Block::kN, Block::kK, Warp::kM, Warp::kN, Default::kStages};
  for (int i = 0; i < 6; ++i) to[i] = found[i];
}

extern "C" void default_tiles(int* to) { tile_of<cutlass::arch::Sm75>(to), tile_of<cutlass::arch::Sm80>(to + 6); }
"""


def test_cutlass_says_the_same_of_grids_and_its_default_tile() -> None:
    """Its own host code, asked."""
    asked = emulator._library(ASKED, "cutlass")
    tiles = (ctypes.c_int * 12)()
    asked.default_tiles(tiles)
    assert (tuple(tiles[:6]), tuple(tiles[6:])) == (default_tile(75), default_tile(80))
    family, found = CutlassB1(), (ctypes.c_int * 16)()
    for m, n, split in product((1, 33, 500), (*range(1, 700, 37), 4096), (1, 4)):
        problem = Problem("gemm", m, n, 4096)
        columns, rows = family.blocks(cut(XOR, *SMALL), problem)
        asked.grids(rows, columns, split, found)
        for place, swizzle in enumerate((1, 2, 4, 8)):
            launch = family.launch_of(cut(XOR, *SMALL, swizzle=swizzle, split=split), problem)
            *grid, log = found[4 * place : 4 * place + 4]
            assert launch.grid == tuple(grid)
            assert launch.swizzle == 1 << log


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("k", 512, "outputs are wrong"),
        ("alpha", 2, "outputs are wrong"),
        ("ldc", 76, "outside of every buffer|outputs are wrong"),
        ("lda", 1000, "outside of every buffer"),
        ("n", 80, "outside of every buffer|overwritten|outputs are wrong"),
        ("log_tile", 1, "outputs are wrong"),
    ],
)
def test_wrong_parameters_are_caught(field: str, value: int, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = calls.Setup
    monkeypatch.setattr(calls, "Setup", lambda **values: right(**{**values, field: value}))
    runner = CudaRunner(Problem("gemm", 40, 76, 700), model("orin"), EmulatedGpu(), cold=False)
    assert runner.measure([cut(XOR, *SMALL)], 1) == {}
    (why,) = runner.failures.values()
    assert any(part in why for part in reason.split("|")), why


def test_headers_of_another_version_are_not_emulated_as_if_they_were_known(tmp_path: Path) -> None:
    original = Path(cutlass.headers()[0])
    changed = {path.relative_to(tmp_path / "known") for path in overlay(tmp_path / "known", original).rglob("*.h")}
    assert {str(path) for path in changed} == {
        f"cutlass/{name}"
        for name in (
            "cutlass.h",
            "semaphore.h",
            "arch/memory.h",
            "arch/memory_sm75.h",
            "arch/memory_sm80.h",
            "arch/mma_sm80.h",
        )
    }
    for path in changed:
        target = tmp_path / "other" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((original / path).read_text(encoding="utf-8").replace("ldmatrix", "ldsm"), encoding="utf-8")
    with pytest.raises(TuneError, match=r"memory_sm75\.h does not have .* 1 times, but 0"):
        overlay(tmp_path / "out", tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize(
    "tile",
    [
        (128, 256, 512, 64, 64, 3),
        (64, 64, 512, 32, 32, 6),
        (128, 64, 1024, 64, 32, 3),
        (64, 128, 1024, 32, 64, 2),
        (64, 32, 512, 32, 32, 4),
    ],
    ids=str,
)
def test_tiles(tile: tuple[int, ...]) -> None:
    for m, n, k in ((tile[0] + 7, tile[1] + 12, 3 * tile[2] + 130), (5, 8, 128)):
        prove(cut(XOR, *tile), Problem("gemm", m, n, k), "a100")
