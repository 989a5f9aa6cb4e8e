"""CUTLASS's tiles, refusals and headers; its kernels compiled by NVRTC for real architectures, without a GPU."""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path

import pytest

from bitwright.tune import Config, Problem, TuneError, space_of
from bitwright.tune.cuda import cutlass, model
from bitwright.tune.cuda.compiler import available, compile_build
from bitwright.tune.cuda.families import CutlassB1
from bitwright.tune.cuda.families.cutlass_b1 import library_tiles, params_build
from bitwright.tune.cuda.sass import Machine, machine_code

SQUARE = Problem("gemm", 4096, 4096, 4096)
FAMILY = CutlassB1()


def missing() -> str | None:
    try:
        cutlass.headers()
    except TuneError as error:
        return str(error)
    return available()


needs_headers = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def tile_of(config: Config) -> tuple[int | str, ...]:
    return tuple(config[name] for name in ("bm", "bn", "bk", "wm", "wn", "stages"))


@pytest.mark.skipif(importlib.util.find_spec("cutlass_library") is None, reason="no nvidia-cutlass")
@pytest.mark.parametrize("cc", [75, 80])
def test_the_space_holds_what_the_library_instantiates(cc: int) -> None:
    from cutlass_library import generator, library, manifest

    class Collected(manifest.Manifest):  # type: ignore[misc]
        def __init__(self) -> None:
            self.found: list[object] = []
            self.kernel_filter = "all"

        def append(self, operation: object) -> None:
            self.found.append(operation)

    collected = Collected()
    logging.disable(logging.CRITICAL)
    make = {75: generator.GenerateSM75_TensorOp_88128, 80: generator.GenerateSM80_TensorOp_168256}[cc]
    make(collected, "13.0.0")
    logging.disable(logging.NOTSET)
    native = {75: 8, 80: 32}[cc]
    assert len(collected.found) == native
    tiles = set()
    for operation in collected.found:
        t = operation.tile_description  # type: ignore[attr-defined]
        bm, bn, bk = t.threadblock_shape
        assert t.warp_count[2] == 1
        tiles.add((bm, bn, bk, bm // t.warp_count[0], bn // t.warp_count[1], t.stages))
        assert operation.A.element == library.DataType.b1  # type: ignore[attr-defined]
    assert tiles == set(library_tiles(cc))


def test_spaces_and_refusals() -> None:
    for name, instructions in (
        ("t4", {"m8n8k128.xor"}),
        ("a100", {"m16n8k256.xor", "m16n8k256.and"}),
        ("h100", {"m16n8k256.and"}),
    ):
        gpu = model(name)
        space = space_of(SQUARE, gpu, [FAMILY])
        assert {c["instruction"] for c in space.configs} == instructions
        assert {c["split"] for c in space.configs} == {1}, "there are blocks enough"
        assert len({c.build for c in space.configs}) <= 130
        base = FAMILY.baseline(SQUARE, gpu)
        assert tile_of(base) == (128, 256, 512, 64, 64, 2 if name == "t4" else 3)
        assert base in space.configs
        fits = {t for t in library_tiles(gpu.number("cc")) if t[5] * (t[0] + t[1]) * t[2] // 8 <= gpu.number("smem")}
        assert fits <= {tile_of(c) for c in space.configs}
    narrow = space_of(Problem("gemm", 64, 1024, 8192), model("a100"), [FAMILY])
    assert {c["split"] for c in narrow.configs} == {1, 2, 4, 8}
    assert all((c["split"] != 1) == (c["serial"] == 1) for c in narrow.configs)


@pytest.mark.parametrize(
    ("name", "problem", "changed", "reason"),
    [
        ("h100", SQUARE, {"instruction": "m16n8k256.xor"}, "`xor` is not native on sm_90"),
        ("b200", SQUARE, {}, "no 1-bit products for sm_100"),
        ("a100", Problem("gemm", 64, 64, 64, "u2"), {}, "one plane of bits; u2 has 2"),
        ("a100", Problem("gemm", 64, 64, 64, "f16", out="f16"), {}, "no f16 activations"),
        ("a100", Problem("conv2d", 64, 64, 64, detail="images=1 h=8 w=8 c=64 kernel=1x1"), {}, "no convolution"),
        ("a100", SQUARE, {"bk": 256}, "needs two instructions of 256 bits"),
        ("a100", SQUARE, {"split": 2}, "serial is 0, with K in 2 parts"),
        ("a100", Problem("gemm", 64, 512, 4096), {"swizzle": 4}, "takes a smaller one for 2 columns"),
        ("a100", Problem("gemm", 64, 512, 1024), {"serial": 1, "split": 2}, "too few to split"),
        ("t4", SQUARE, {"stages": 3}, "CUTLASS has 2 on sm_75"),
        ("rtx3090", SQUARE, {"bk": 1024}, "bytes of shared memory"),
    ],
)
def test_refusals(name: str, problem: Problem, changed: dict[str, int | str], reason: str) -> None:
    base = FAMILY.baseline(SQUARE, model("a100" if name == "b200" else name))
    values = {**base.parameters, **changed}
    run = {key: values.pop(key) for key in ("swizzle", "split")}
    why = FAMILY.why_invalid(Config.of("cutlass_b1", values, **run), problem, model(name))
    assert why is not None
    assert reason in why


def compiled(config: Config, problem: Problem, gpu: str, folder: Path) -> Machine:
    """The main kernel. That the host's threads and shared memory are CUTLASS's is asserted in the source."""
    device = model(gpu)
    build = FAMILY.build_of(config, problem, device)
    kernels = {m.name: m for m in machine_code(compile_build(build, str(device["target"]), folder).cubin)}
    first = params_build(build)
    assert set(kernels) == {build.kernel, first.kernel}
    assert compile_build(first, str(device["target"]), folder).kernel == first.kernel
    assert len(list(folder.iterdir())) == 1, "both kernels are one compilation"
    found = kernels[build.kernel]
    assert found.registers * build.threads <= 65536
    return found


def products(config: Config) -> int:
    """1-bit instructions of one step of K of a warp."""
    wm, wn, bk = (int(config[name]) for name in ("wm", "wn", "bk"))
    small = config["instruction"] == "m8n8k128.xor"
    return (wm // 8) * (wn // 8) * (bk // 128) if small else (wm // 16) * (wn // 8) * (bk // 256)


@needs_headers
@pytest.mark.parametrize(
    "gpu",
    ["t4", "a100", "h100", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rtx3090", "l4"))],
)
def test_the_default_tile(gpu: str, tmp_path: Path) -> None:
    config = FAMILY.baseline(SQUARE, model(gpu))
    found = compiled(config, SQUARE, gpu, tmp_path)
    assert found.spills == 0
    assert found.instructions["BMMA"] == products(config)
    assert found.instructions["IMMA"] == 0
    assert (found.instructions["LDGSTS"] > 0) == (gpu != "t4")


@needs_headers
@pytest.mark.slow
@pytest.mark.timeout(600)  # 3 seconds a tile, of a core of its own
@pytest.mark.parametrize(("gpu", "first", "step"), [("t4", 0, 3), ("a100", 0, 2), ("a100", 1, 2), ("h100", 1, 3)])
def test_tiles_of_the_library(gpu: str, first: int, step: int, tmp_path: Path) -> None:
    device = model(gpu)
    tiles = set(library_tiles(device.number("cc"))[first::step])
    seen = set()
    for config in space_of(SQUARE, device, [FAMILY]).configs:
        one = config["swizzle"] == 1 and config["instruction"] == FAMILY.baseline(SQUARE, device)["instruction"]
        if one and tile_of(config) in tiles:
            seen.add(tile_of(config))
            folder = tmp_path / str(len(seen))
            folder.mkdir()
            found = compiled(config, SQUARE, gpu, folder)
            assert found.spills == 0, str(config)
            assert found.instructions["BMMA"] == products(config), str(config)
    assert len(seen) == len(tiles)


@needs_headers
def test_xor_on_hopper_would_multiply_nothing(tmp_path: Path) -> None:
    """What the refusal is for: CUTLASS compiles it without a warning."""
    base = FAMILY.baseline(SQUARE, model("h100"))
    xor = Config.of("cutlass_b1", {**dict(base.compiled), "instruction": "m16n8k256.xor"}, swizzle=1, split=1)
    assert FAMILY.why_invalid(xor, SQUARE, model("h100")) is not None
    found = compiled(xor, SQUARE, "h100", tmp_path)
    assert found.instructions["BMMA"] == found.instructions["IMMA"] == 0


@needs_headers
def test_the_cache_knows_the_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(r"CUTLASS_MAJOR 4; .*CUDART_VERSION \d+; .*CCCL_VERSION \d+", cutlass.fingerprint())
    build = FAMILY.build_of(FAMILY.baseline(SQUARE, model("a100")), SQUARE, model("a100"))
    compile_build(build, "sm_80", tmp_path)
    monkeypatch.setattr(cutlass, "fingerprint", lambda: "other headers")
    compile_build(build, "sm_80", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_or_other_headers_are_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cutlass.headers.cache_clear()
    try:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(TuneError, match=r"nvidia-cutlass\) are not installed; pip install 'bitwright\[cutlass\]'"):
            cutlass.headers()
        header = tmp_path / "source" / "include" / "cutlass" / "version.h"
        header.parent.mkdir(parents=True)
        spec = importlib.util.spec_from_loader("cutlass_library", None, is_package=True)
        assert spec is not None
        spec.submodule_search_locations = [str(tmp_path)]
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
        with pytest.raises(TuneError, match="headers are incomplete"):
            cutlass.headers()
        header.write_text("#define CUTLASS_MAJOR 3\n")
        with pytest.raises(TuneError, match="does not tell CUTLASS's version"):
            cutlass.headers()
        header.write_text("#define CUTLASS_MAJOR 3\n#define CUTLASS_MINOR 9\n#define CUTLASS_PATCH 1\n")
        with pytest.raises(TuneError, match=r"CUTLASS 3\.9\.1 is installed; at least 4\.2 and below 4\.3 is expected"):
            cutlass.headers()
    finally:
        cutlass.headers.cache_clear()
