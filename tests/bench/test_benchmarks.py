"""benchmarks/cold_start.py, threads.py and throughput.py on tiny models: every part but the figures' size."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bitwright.runtime import Session, available_cpus

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import cold_start, step_time, threads


def test_a_fresh_process_opens_and_runs_a_model(tmp_path: Path) -> None:
    path = tmp_path / "chain.bwm"
    path.write_bytes(threads.chain(depth=2, channels=32, size=5))
    taken = cold_start.samples(path, 1, 2)
    assert [len(sample) for sample in taken] == [len(cold_start.STEPS)] * 2
    assert all(ms > 0 for sample in taken for ms in sample)
    assert list(cold_start.in_folder(tmp_path)) == ["chain"]


def test_cold_start_names_a_folder_that_has_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, reason in ((tmp_path, "no .bwm files"), (tmp_path / "none", "no such folder")):
        monkeypatch.setattr(sys, "argv", ["cold_start.py", "--models", str(folder)])
        with pytest.raises(SystemExit, match=reason) as stopped:
            cold_start.main()
        assert str(folder) in str(stopped.value)


@pytest.mark.skipif(available_cpus() < 2, reason="one CPU")
def test_two_threads_and_two_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "LAYERS", [("3x3 6x6 64->64", 64, 64, 3, 1, 6)])
    rows = threads.scaling(1) + threads.sessions(1, runs=3)
    assert len(rows) == 3
    for row in rows:
        assert float(str(row["one_us"])) > 0
        assert float(str(row["ratio"])) > 0
        assert float(str(row["limit"])) > 0


def test_throughput_measures_the_engine_without_peers(tmp_path: Path) -> None:
    from benchmarks import throughput

    path = tmp_path / "chain.bwm"
    path.write_bytes(threads.chain(depth=2, channels=32, size=5))
    found = {"resnet18 exact": path, "resnet18 int8+int16": path}
    own = {
        name: entry
        for name, entry in throughput.entries(tmp_path, found, 1, 3).items()
        if name in (throughput.ENGINE, throughput.EXACT)
    }
    rows = throughput.measure(own, 1, 3, 1)
    assert [row["competitor"] for row in rows] == [throughput.ENGINE, throughput.EXACT]
    for row in rows:
        assert float(str(row["images_per_s"])) > 0
        assert float(str(row["engine_mb"])) * 1e6 > Session(path).facts["prepared_bytes"] / 2


def test_step_times_are_relative_to_the_float_network() -> None:
    rows = step_time.measure(["bnn"], batch=2, rounds=2)
    assert [row["method"] for row in rows] == ["float", "bnn"]
    assert rows[0]["times_float"] == "1.000"
    assert all(float(str(row["step_ms"])) > 0 for row in rows)
