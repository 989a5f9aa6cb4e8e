"""The emulator finds what hardware would punish: each test breaks a kernel's source in one place."""

from __future__ import annotations

import pytest

from bitwright.tune import Problem
from bitwright.tune.cuda import emulator
from bitwright.tune.cuda.emulator import Emulated, EmulatorError
from bitwright.tune.cuda.families import Build, MmaB1, WgmmaB1

from .harness import emulate, needs_compiler
from .test_emulated_b1 import A100, H100, mma, wgmma

pytestmark = needs_compiler

CASES = [
    ("mma_b1", "sync_block();  // tile t has", "// tile t has", "race"),
    ("mma_b1", "copy_wait<BW_STAGES - 2>();", "copy_wait<BW_STAGES - 1>();", "before the wait"),
    ("mma_b1", "next % BW_STAGES * kStage;", "next % (BW_STAGES - 1) * kStage;", "race"),
    (
        "mma_b1",
        "valid ? plane + i64(row0 + row) * ld + k : 0), valid",
        "plane + i64(row0 + row) * ld + k), true",
        "outside of every buffer",
    ),
    (
        "mma_b1",
        "place<kChunks>(warp_row + 16 * i + a_row",
        "place<kChunks>(warp_row + 16 * i + a_row + BW_BM",
        "outputs are wrong|race|before the wait",
    ),
    ("wgmma_b1", "    fence_proxy();  // what", "    // what", "without fence.proxy.async"),
    ("wgmma_b1", "sync_block();   // tile t has", "// tile t has", "race|without a barrier"),
    ("wgmma_b1", "    wgmma_wait<1>();\n", "    wgmma_wait<2>();\n", "while a wgmma reads it"),
    ("wgmma_b1", "kChunks == 8 ? 1 : kChunks == 4 ? 2 : 3", "1", "leaves shared memory|wrong|race|before the wait"),
    ("wgmma_b1", "u64(8 * kChunks) << 32", "u64(4 * kChunks) << 32", "wrong"),
]


@pytest.mark.parametrize(("kernel", "old", "new", "reason"), CASES, ids=lambda v: str(v)[:30])
def test_broken_kernels_are_caught(
    kernel: str, old: str, new: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = emulator.source_of
    touched = []

    def broken(name: str, defines: object) -> str:
        text = right(name, defines)  # type: ignore[arg-type]
        if old in text:
            touched.append(name)
        return text.replace(old, new)

    monkeypatch.setattr(emulator, "source_of", broken)
    problem = Problem("gemm", 70, 75, 1300)
    with pytest.raises((EmulatorError, AssertionError)) as caught:  # noqa: PT012
        for late in (True, False):
            if kernel == "mma_b1":
                emulate(MmaB1(), mma(), problem, A100, seed=2, late=late)
            else:
                emulate(WgmmaB1(), wgmma(bm=128), problem, H100, seed=2, late=late)
    assert touched, "the text to break is no longer in the kernel"
    assert any(part in str(caught.value) for part in reason.split("|")), str(caught.value)


def test_a_barrier_that_some_threads_skip_is_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    right = emulator.source_of
    monkeypatch.setattr(
        emulator,
        "source_of",
        lambda name, defines: right(name, defines).replace(
            "    sync_block();  // tile", "    if (warp > 0) sync_block();  // tile"
        ),
    )
    with pytest.raises(EmulatorError, match=r"deadlock|diverged|race"):
        emulate(MmaB1(), mma(), Problem("gemm", 70, 75, 1300), A100)


def test_bank_conflicts_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    right = emulator.source_of
    monkeypatch.setattr(
        emulator,
        "source_of",
        lambda name, defines: right(name, defines).replace("(chunk ^ ((row / (8 / CHUNKS)) % CHUNKS))", "chunk"),
    )
    counts = emulate(MmaB1(), mma(), Problem("gemm", 70, 75, 300), A100)
    assert counts.bank_conflicts > 0


def test_bad_source_is_an_error_with_the_compilers_words() -> None:
    with pytest.raises(Exception, match="refused the kernel source"):
        Emulated(Build("mma_b1", (("bm", 64),), 32, 0, "and"))
    with pytest.raises(Exception, match=r"no kernel source 'nothing\.cuh'"):
        Emulated(Build("nothing", (), 32, 0, "and"))
