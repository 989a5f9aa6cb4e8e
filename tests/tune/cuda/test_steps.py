"""The steps of the GPU's checklist without a GPU: resuming, budgets, what they compute; the emulator where one runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bitwright.tune import Config, Problem, Record, space_of
from bitwright.tune.cuda import families, model
from bitwright.tune.cuda.compiler import available, compile_source
from bitwright.tune.cuda.sass import machine_code
from bitwright.tune.regret import compare

from .emulated_gpu import EmulatedGpu
from .harness import needs_compiler

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "benchmarks" / "gpu"
needs_nvrtc = pytest.mark.skipif(available() is not None, reason=f"cannot compile: {available()}")


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_items_resume(tmp_path: Path) -> None:
    from steps import Items, is_complete

    path, now = tmp_path / "a.json", [0.0]
    first = Items(path, "gpu 1", "10s", clock=lambda: now[0])
    first.run("one", lambda: 1)
    first.run("bad", lambda: {}["x"])
    now[0] = 10.0
    first.run("late", lambda: 3)
    assert first.finish() == 1
    assert not is_complete(path)
    assert json.loads(path.read_text())["left"] == ["late"]
    assert "KeyError" in first.items["bad"]["error"]
    second = Items(path, "gpu 1")
    second.run("one", lambda: pytest.fail("known"))
    second.run("bad", lambda: 2)
    second.run("late", lambda: 3)
    assert second.finish() == 0
    assert second.items == {"one": 1, "bad": 2, "late": 3}
    assert is_complete(path)
    assert Items(path, "gpu 2").items == {}, "another GPU starts anew"
    path.write_text("{")
    assert Items(path, "gpu 1").items == {}
    assert not is_complete(path)


def test_the_budget_is_shared_and_what_is_done_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import run_all

    assert sum(s.guess for s in run_all.STEPS) <= sum(s.share for s in run_all.STEPS) == 1500, "25 minutes"
    assert {s.script for s in run_all.STEPS} <= {p.name for p in SCRIPTS.glob("*.py")}
    shares = run_all.shares(run_all.STEPS, 750)
    assert sum(shares.values()) == pytest.approx(750)
    (tmp_path / "gpu_peaks.json").write_text('{"complete": true}')
    left = run_all.plan(run_all.STEPS, tmp_path, again=False)
    assert "peaks.py" not in [s.script for s in left]
    assert len(left) == len(run_all.STEPS) - 1
    started: list[list[str]] = []

    class Done:
        returncode = 0

    def fake(command: list[str], **_: Any) -> Done:
        started.append(command)
        done = Done()
        done.returncode = int("layers.py" in command[1])
        return done

    monkeypatch.setattr(run_all.subprocess, "run", fake)
    assert run_all.main(["--results", str(tmp_path), "--budget", "100s", "--only", "peaks", "layers", "gemv"]) == 1
    assert [Path(c[1]).name for c in started] == ["layers.py", "gemv.py"], "a step that fails stops no other"
    assert started[1][-1] == "100s", "what is left goes to the last one"
    assert "not layers.py (1)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run_all.main(["--only", "nothing"])


def test_rotating_operands_leave_the_cache() -> None:
    from steps import copies_for

    assert copies_for(1 << 30, 50 << 20) == 2
    for size in (1 << 10, 1 << 20, 30 << 20):
        assert copies_for(size, 50 << 20) * size > 2 * (50 << 20)


@needs_nvrtc
@pytest.mark.parametrize(
    ("number", "arch", "kind"),
    [(0, "sm_80", "BMMA"), (0, "sm_90a", "BMMA"), (2, "sm_90a", "IMMA"), (3, "sm_90a", "BGMMA")],
)
def test_peaks_are_made_of_their_instruction(number: int, arch: str, kind: str) -> None:
    import peaks

    (code,) = machine_code(compile_source(peaks.source_of(number), arch))
    assert code.instructions[kind] >= peaks.INSTRUCTIONS[number].count
    assert code.spills == 0


def test_what_peaks_count() -> None:
    import peaks

    one, *_, wgmma, _ = peaks.INSTRUCTIONS
    assert peaks.operations(one, 1, 1) == 8 * 8 * 2 * 16 * 8 * 256  # 8 warps, 8 products each
    assert peaks.operations(wgmma, 1, 1) == 2 * 4 * 2 * 64 * 256 * 256
    assert peaks.sum_of_ones(one, 3) == 8 * 4 * 256 * 3
    assert peaks.sum_of_ones(wgmma, 3) == 128 * 256 * 4 * 3
    assert peaks.why_not(wgmma, model("a100")) == "no wgmma: only sm_90a has"
    assert peaks.why_not(one, model("t4"))
    assert peaks.ratios({i.name: {"tops": 10.0 * (i.number + 1)} for i in peaks.INSTRUCTIONS})["and over xor"] == 0.5
    assert peaks.ratios({}) == {}
    assert ctypes_size(peaks.Peak) == 16


def ctypes_size(structure: Any) -> int:
    import ctypes

    return ctypes.sizeof(structure)


def test_regret_of_real_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import regret

    store = ROOT / "results" / "tune_products.jsonl"
    records = [Record.from_line(line) for line in store.read_text().splitlines()]
    rows = regret.table(records, (1, 4))
    assert {r["way"] for r in rows} == {"portfolio", "predict", "nearest", "cost"}
    (expected,) = (r for r in compare(records, (4,)) if r.way == "portfolio")
    (found,) = (r for r in rows if (r["way"], r["measured"]) == ("portfolio", 4))
    assert found["mean"] == round(expected.mean, 4)
    assert regret.by_cost(records, 10**6).worst == 1.0
    monkeypatch.setattr("sys.argv", ["regret.py", "--results", str(tmp_path)])
    assert regret.main() == 1, "nothing was measured"
    (tmp_path / "gpu_sweep.jsonl").write_text(store.read_text())
    assert regret.main() == 0
    assert json.loads((tmp_path / "gpu_regret.json").read_text())["complete"]


def test_layers_ask_for_what_their_operators_do() -> None:
    import layers

    from bitwright.export.cuda.tuning import problems_of

    for layer in (layers.LAYERS[0], layers.LAYERS[-1]):
        (problem,) = problems_of(layers.frozen(layer), layers.input_of(layer))
        assert problem == layers.problem_of(layer)
    assert layers.LAYERS[0].bytes == 4 * 64 * 56 * 56


class Called:
    """In the place of timing by torch: calls everything once."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.results: list[Any] = []

    def __call__(self, calls: Any) -> float:
        self.counts.append(len(calls))
        with torch.no_grad():
            self.results.append([call() for call in calls])
        return 1e-3 * len(self.counts)


def test_layers_compare_the_same_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    import layers

    for layer, rivals in (
        (layers.Layer("linear", 20, 1, 64, 16), ["bf16", "int8"]),
        (layers.Layer("one row", 1, 1, 64, 16), ["bf16"]),
        (layers.Layer("conv", 2, 6, 16, 8, 3), ["bf16"]),
    ):
        timed = Called()
        monkeypatch.setattr(layers, "torch_seconds", timed)
        found = layers.measured(layer, 4 * layer.bytes, "cpu")
        assert list(found["us"]) == ["ours", *rivals]
        assert found["faster"]["bf16"] == 2.0
        assert set(timed.counts) == {found["copies"]} == {9}
        assert len({result.shape for results in timed.results for result in results}) == 1


def test_networks_are_compared_with_their_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    import networks

    from bitwright.export import cuda

    timed, tuned = Called(), []
    monkeypatch.setattr(networks, "torch_seconds", timed)
    monkeypatch.setattr(cuda, "tune_module", lambda net, x, **how: tuned.append((x.shape, how)) or "tuned")
    found = networks.measured("vgg_small", 2, 3.0, "cpu")
    assert found["faster"] == 2.0
    assert found["samples_per_second"] == {"ours": 2000.0, "bf16": 1000.0}
    assert list(found["ms"]) == ["ours", "bf16", "fused"]
    assert tuned == 2 * [((2, 3, 32, 32), {"budget": 1.5, "strategy": "portfolio"})]
    assert [r[0].shape for r in timed.results] == 3 * [(2, 10)]
    assert torch.equal(timed.results[0][0], timed.results[2][0]), "the fused network is another one"


def test_gemv_rotates_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    import gemv

    timed = Called()
    monkeypatch.setattr(gemv, "torch_seconds", timed)
    assert gemv.dense_us(Problem("gemm", 2, 8, 16, "f16", out="f16"), 1024, "cpu") == 1e3
    assert timed.counts == [9]
    assert timed.results[0][0].shape == (2, 8)


def test_networks_that_are_not_there_are_named() -> None:
    import networks

    there, missing = networks.networks()
    assert "resnet18" in there
    assert set(there) | set(missing) == set(networks.NETWORKS)


@needs_compiler
def test_correctness_and_sweep_with_the_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import correctness
    import sweep

    problem, device = Problem("gemm", 20, 40, 300), model("orin")
    monkeypatch.setattr(correctness, "Gpu", lambda *_: EmulatedGpu())
    monkeypatch.setattr(sweep, "Gpu", lambda *_: EmulatedGpu())
    own = [t for t in families() if t.name == "gemv"]
    space = space_of(problem, device, own)
    good, bad = space.configs[0], Config.of("nothing")
    report = correctness.verified(space, [good, bad], device)
    assert report["right"] == 1
    assert report["error"] == "1 candidates failed"
    few = type(space)(problem, device, space.configs[:2], 0, ())
    monkeypatch.setattr(sweep, "rivals", lambda space, history: {"ours": history.ranked()[0]})
    found = sweep.swept(few, "exhaustive", 1e-3, tmp_path / "new" / "gpu_sweep.jsonl")
    assert found["measured"] >= 1
    (line,) = (tmp_path / "new" / "gpu_sweep.jsonl").read_text().splitlines()
    assert Record.from_line(line).problem == problem.bucketed
    assert len(Record.from_line(line).warm) == found["measured"]
    sweep.write_csv(tmp_path / "a.csv", {str(problem): found, "broken": {"error": "x"}}, "orin")
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 2


@needs_compiler
def test_gemv_with_the_emulator() -> None:
    import gemv

    found = gemv.best_of(Problem("gemm", 2, 64, 256, "f16", out="f16"), model("orin"), EmulatedGpu(), budget="1ms")
    assert found["us"] > 0
    assert not found["failures"]
    assert found["config"]["template"] in ("gemv", "mma_wide")
