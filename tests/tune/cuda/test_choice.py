"""Which kernel is chosen: measured before shipped before the default, and only what is valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitwright.tune import Config, History, Problem, Record, Store, bundled, space_of
from bitwright.tune.cuda import Chooser, Conv2d, RefusedError, explain, families, model
from bitwright.tune.cuda.families import dense_families

A100 = model("a100")
GEMM = Problem("gemm", 2048, 768, 768, out="f32")
VERSIONS = tuple((t.name, t.version) for t in families())
POPC = Config.of("popc_gemm", {"bm": 64, "bn": 64, "bk": 512, "wm": 8, "wn": 64, "stages": 2}, swizzle=1, split=1)
GEMV = Config.of("gemv", {"threads": 256, "tm": 4, "form": "planes"})


def record(config: Config, problem: Problem = GEMM, device: str = "a100", seconds: float = 1e-5) -> Record:
    return Record(model(device).environment, problem.bucketed, VERSIONS, History({config: [seconds]}))


@pytest.mark.parametrize("device", ["t4", "a100", "h100", "b200"])
@pytest.mark.parametrize(
    "problem",
    [GEMM, Problem("gemm", 3, 4096, 4096, "u8", out="f32"), Conv2d(1, 7, 7, 512, pad=(1, 1)).problem(512, out="f32")],
    ids=str,
)
def test_the_default_is_the_first_candidate(device: str, problem: Problem, tmp_path: Path) -> None:
    choice = Chooser(model(device), Store(tmp_path), shipped=[]).choose(problem)
    assert choice.source == "default"
    assert choice.config == space_of(problem, model(device), families()).configs[0]
    assert (choice.finish is not None) == (choice.launch.split > 1)


def test_measured_beats_shipped_beats_default(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chooser = Chooser(A100, store, shipped=[record(POPC)])
    assert chooser.choose(GEMM).config == POPC
    assert chooser.choose(GEMM).source == "shipped"
    mine = space_of(GEMM, A100, families()).configs[5]
    store.put(record(mine))
    assert chooser.choose(GEMM).config == POPC, "each choice is made once"
    chooser.forget()
    assert chooser.choose(GEMM).config == mine
    assert chooser.choose(GEMM).source == "measured"
    near = Problem("gemm", 1024, 768, 768, out="f32")
    assert chooser.choose(near).source == "measured for m = 2048"
    assert Chooser(model("h100"), store, shipped=[]).choose(GEMM).source == "default", "another GPU's timings"


def test_a_dense_product_is_taken_where_it_was_faster(tmp_path: Path) -> None:
    store, dense = Store(tmp_path), Config.of("torch_dense", {"type": "s8"})
    versions = (*VERSIONS, *((t.name, t.version) for t in dense_families()))
    halves = Config.of("torch_dense", {"type": "f16"})
    history = History({POPC: [2e-5], dense: [1e-5], halves: [1e-6]})
    store.put(Record(A100.environment, GEMM.bucketed, tuple(sorted(versions)), history))
    assert Chooser(A100, store, shipped=[]).choose(GEMM).config == dense
    assert Chooser(A100, store, shipped=[], dense=[]).choose(GEMM).config == POPC
    assert Chooser(A100, Store(tmp_path / "none"), shipped=[]).choose(GEMM).config.template == "mma_b1"


@pytest.mark.parametrize(
    "config",
    [
        GEMV,  # for at most 64 rows
        Config.of("nothing"),
        Config.of("mma_b1"),
        Config.of("mma_b1", {"bm": "a", "bn": 128, "bk": 512, "wm": 64, "wn": 64, "stages": 3}, swizzle=1, split=1),
        Config.of("popc_gemm", {"bm": 65, "bn": 64, "bk": 512, "wm": 65, "wn": 64, "stages": 2}, swizzle=1, split=1),
    ],
    ids=str,
)
def test_what_is_not_of_the_space_is_never_taken(config: Config, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(config, seconds=1e-9))
    assert Chooser(A100, store, shipped=[]).choose(GEMM).source == "default"


def test_a_shipped_portfolio_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "portfolio", lambda kind: (GEMV, POPC) if kind == "cuda" else ())
    assert Chooser(A100, Store(tmp_path), shipped=[]).choose(GEMM).config == POPC


def test_reasons() -> None:
    ternary = Problem("gemm", 4, 4, 4, "pm1", "u1", out="f32")
    with pytest.raises(RefusedError, match="has weights pm1, not u1"):
        Chooser(A100, shipped=[]).choose(ternary)
    assert "has weights pm1, not u1" in explain(ternary, A100)
    assert explain(GEMM, model("h100")).startswith("gemm 2048x768x768 pm1*pm1->f32: wgmma_b1 ")
