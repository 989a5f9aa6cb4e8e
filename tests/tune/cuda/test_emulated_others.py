"""Kernels beside the 1-bit instruction: popcounts, dp4a, 8-bit and half products; run lane by lane, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from bitwright.tune import Config, Device, Problem
from bitwright.tune.cuda import Conv2d, model
from bitwright.tune.cuda.algebra import pack_rows
from bitwright.tune.cuda.emulator import Emulated, aligned
from bitwright.tune.cuda.families import Gemv, MmaWide, PopcGemm
from bitwright.tune.cuda.packing import Pack, PackBuild, words_of

from .harness import emulate, needs_compiler

pytestmark = needs_compiler

A100, B200 = model("a100"), model("b200")
SIZES = [(1, 1, 1), (64, 64, 256), (70, 75, 300), (3, 200, 1100)]


def popc(**values: int) -> Config:
    run = {"swizzle": values.pop("swizzle", 1), "split": values.pop("split", 1)}
    return Config.of("popc_gemm", {"bm": 32, "bn": 64, "bk": 256, "wm": 8, "wn": 64, "stages": 2, **values}, **run)


def wide(form: str, **values: int) -> Config:
    run = {"swizzle": values.pop("swizzle", 1), "split": values.pop("split", 1)}
    tile = {"bm": 64, "bn": 64, "bk": 128, "wm": 32, "wn": 32, "stages": 3, **values}
    return Config.of("mma_wide", {**tile, "form": form}, **run)


def gemv(form: str, tm: int = 4, threads: int = 64) -> Config:
    return Config.of("gemv", {"threads": threads, "tm": tm, "form": form})


@pytest.mark.parametrize(("a", "out"), [("pm1", "s32"), ("s3", "bits")])
def test_popc_gemm(a: str, out: str) -> None:
    for seed, (m, n, k) in enumerate(SIZES):
        emulate(PopcGemm(), popc(), Problem("gemm", m, n, k, a, out=out), B200, seed=seed, late=seed % 2 == 0)
    emulate(PopcGemm(), popc(split=2, swizzle=2), Problem("gemm", 40, 130, 1300, a, out=out), B200)


def test_popc_convolution() -> None:
    for fill in (-1, 0, 1):
        problem = Conv2d(2, 7, 6, 70, (3, 3), (1, 1), (1, 1), fill=fill).problem(40)
        emulate(PopcGemm(), popc(bk=128), problem, B200, seed=2)


@pytest.mark.parametrize(
    ("form", "a", "out"),
    [
        ("planes", "pm1", "bits"),
        ("planes", "u3", "s32"),
        ("bytes", "s8", "f16"),
        ("bytes", "u8", "s32"),
        ("halves", "f16", "f32"),
        ("halves", "f16", "f16"),
        ("halves", "bf16", "bf16"),
    ],
)
def test_gemv(form: str, a: str, out: str) -> None:
    for seed, (m, n, k) in enumerate([(1, 1, 1), (4, 64, 256), (7, 75, 300), (3, 130, 5000)]):
        emulate(Gemv(), gemv(form), Problem("gemm", m, n, k, a, out=out), A100, seed=seed, data=seed)


@pytest.mark.parametrize(
    ("form", "a", "out", "tile"),
    [
        ("planes", "pm1", "bits", {"bk": 256}),
        ("planes", "s3", "s32", {"bk": 512, "stages": 2}),
        ("bytes", "s8", "s32", {}),
        ("bytes", "u8", "bits", {"bk": 256, "bm": 32}),
        ("halves", "f16", "f32", {}),
        ("halves", "bf16", "f32", {}),
        ("halves", "f16", "bf16", {"bm": 16, "bn": 128, "wm": 16, "wn": 32, "stages": 2}),
    ],
)
def test_mma_wide(form: str, a: str, out: str, tile: dict[str, int]) -> None:
    for seed, (m, n, k) in enumerate(SIZES):
        problem = Problem("gemm", m, n, k, a, out=out)
        counts = emulate(MmaWide(), wide(form, **tile), problem, B200, seed=seed, late=seed % 2 == 0, data=seed)
        assert counts.mma > 0
        assert counts.bank_conflicts == 0


def test_mma_wide_splits_k() -> None:
    emulate(MmaWide(), wide("bytes", split=4), Problem("gemm", 70, 75, 1100, "s8"), B200)


def test_mma_wide_convolves_planes() -> None:
    gpu: Device = B200
    for fill in (-1, 0, 1):
        problem = Conv2d(2, 7, 6, 70, (3, 3), (2, 1), (1, 1), fill=fill).problem(40)
        emulate(MmaWide(), wide("planes", bk=256), problem, gpu, seed=fill + 1)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize(("planes", "across"), [(1, True), (1, False), (3, True), (3, False)])
def test_packing(dtype: str, planes: int, across: bool) -> None:
    """Channels last and first, thresholds and levels, NaN and infinities, one threshold or one a channel."""
    rng = np.random.default_rng(planes)
    images, pixels, channels = 2, 5, 150
    real = rng.normal(0, 2, (images, pixels, channels)).astype(np.float32)
    real[0, 0, :4] = np.nan, np.inf, -np.inf, -0.0
    if dtype == "bf16":
        stored = (real.view(np.uint32) >> 16).astype(np.uint16)
        real = (stored.astype(np.uint32) << 16).view(np.float32)
    else:
        stored = real.astype(np.float16 if dtype == "f16" else np.float32)
        real = stored.astype(np.float32)
    for per_channel in (False, True):
        first = rng.normal(0, 1, channels if per_channel else 1).astype(np.float32)
        second = rng.normal(3, 1, channels if per_channel else 1).astype(np.float32)
        if planes == 1:
            first[0] = 0
            level = (real >= first).astype(np.int64)
        else:
            scaled = (real * first).astype(np.float32) + second
            level = np.clip(np.rint(np.nan_to_num(scaled, nan=0.0)), 0, (1 << planes) - 1).astype(np.int64)
        bits = pack_rows(((level.reshape(-1, channels)[None] >> np.arange(planes)[:, None, None]) & 1).astype(np.bool_))
        x = aligned(stored if across else np.ascontiguousarray(stored.transpose(0, 2, 1)))
        reads = [x, aligned(first), aligned(second)]
        out, sums = aligned(np.full_like(bits, 0xA5A5A5A5)), aligned(np.full(images * pixels, -1, np.int32))
        arguments = Pack(
            x=x.ctypes.data,
            threshold=reads[1].ctypes.data,
            offset=reads[2].ctypes.data,
            bits=out.ctypes.data,
            sums=sums.ctypes.data,
            image_stride=pixels * channels,
            row_stride=channels if across else 1,
            channel_stride=1 if across else pixels,
            plane_words=bits[0].size,
            rows=images * pixels,
            rows_in_image=pixels,
            channels=channels,
            ld=words_of(channels),
            per_channel=int(per_channel),
        )
        pack = PackBuild(dtype, planes, across)
        kernel = Emulated(pack.build)
        kernel(arguments, pack.grid(images * pixels), pack.build.threads, 0, reads, [out, sums])
        np.testing.assert_array_equal(out, bits)
        np.testing.assert_array_equal(sums, level.reshape(-1, channels).sum(1))
