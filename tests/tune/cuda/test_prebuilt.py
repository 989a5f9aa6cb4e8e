"""Archives of compiled kernels: made small, found by source, never trusted blindly."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitwright.tune import Config, TuneError, bundled
from bitwright.tune.cuda import compiler as by_nvrtc
from bitwright.tune.cuda import prebuilt
from bitwright.tune.cuda.compiler import available, compile_build
from bitwright.tune.cuda.packing import PackBuild

from .test_emulated_b1 import mma

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(available() is not None, reason=f"cannot compile: {available()}")
CONFIGS = [mma(), mma(split=2), Config.of("gemv", {"threads": 64, "tm": 4, "form": "planes"}), Config.of("gone")]


@pytest.fixture(scope="module")
def archive() -> bytes:
    return prebuilt.build(CONFIGS, ["sm_80"])


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    prebuilt._archive.cache_clear()
    yield
    prebuilt._archive.cache_clear()


def test_the_package_ships_no_kernel_that_was_never_measured() -> None:
    assert prebuilt._archive() == {}


def test_builds_are_those_that_the_operators_load() -> None:
    kernels = [b.kernel for b in prebuilt.builds_of(CONFIGS, "sm_80")]
    assert kernels == ["mma_b1", "mma_b1", "finish", "finish", "gemv", "pack", "pack"]
    # sm_90a has the same instruction; wgmma's builds are for it alone
    wgmma = Config.of(
        "wgmma_b1", {"bm": 128, "bn": 128, "bk": 1024, "wm": 64, "wn": 128, "stages": 4}, swizzle=1, split=1
    )
    assert [b.kernel for b in prebuilt.builds_of([wgmma], "sm_80")] == ["pack", "pack"]
    assert [b.kernel for b in prebuilt.builds_of([wgmma], "sm_90a")] == ["wgmma_b1", "wgmma_b1", "pack", "pack"]


def test_a_shipped_kernel_is_taken_and_not_compiled(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / prebuilt.ARCHIVE).write_bytes(archive)
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path)
    monkeypatch.setattr(by_nvrtc, "compile_source", lambda *_: pytest.fail("compiled"))
    build = PackBuild("f32", 1, True).build
    found = compile_build(build, "sm_80", tmp_path / "cache")
    assert found.shipped
    assert found.cubin[:4] == b"\x7fELF"
    monkeypatch.undo()
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path)
    again = compile_build(build, "sm_80", tmp_path / "cache", shipped=False)
    assert not again.shipped
    assert again.cubin == found.cubin, "the same compiler"
    assert not compile_build(build, "sm_86", tmp_path / "cache").shipped


@pytest.mark.parametrize("how", ["cut", "bit", "empty", "format", "huge"])
def test_a_damaged_archive_is_left_out(
    archive: bytes, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(archive)
    if how == "cut":
        del data[len(data) // 2 :]
    elif how == "bit":
        data[len(data) // 3] ^= 1
    elif how == "empty":
        data.clear()
    elif how == "huge":
        data += bytes(prebuilt.LIMIT)
    else:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as made:
            made.writestr("manifest.json", '{"format": 9, "sha256": {}}')
        data = bytearray(out.getvalue())
    with pytest.raises(TuneError, match=r"cubins\.zip"):
        prebuilt.read(bytes(data))
    (tmp_path / prebuilt.ARCHIVE).write_bytes(data)
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path)
    with pytest.warns(RuntimeWarning, match="shipped kernels are ignored"):
        assert prebuilt.cubin_of("x", "sm_80") is None


def test_an_archive_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prebuilt, "LIMIT", 1000)
    with pytest.raises(TuneError, match="at most 1000"):
        prebuilt.build([], ["sm_80"])


def test_only_timings_of_gpus_make_a_portfolio(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="no timing of a GPU"):
        prebuilt.portfolio_of([ROOT / "results" / "tune_products.jsonl"])
