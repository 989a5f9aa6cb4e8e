"""The store: round trips, strangers, damage, several writers."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from bitwright.tune import Config, Device, History, Problem, Record, Store, TuneError
from bitwright.tune.t4 import to_t4

from .surfaces import DEVICE, GEMM, OTHER

FAST = Config.of("tiles", {"bm": 64, "bn": 64}, split=1)
SLOW = Config.of("tiles", {"bm": 32, "bn": 32}, split=1)
VERSIONS = {"tiles": 1}


def record(problem: Problem = GEMM, device: Device = DEVICE, fast: float = 1e-4, date: str = "2026-01-01") -> Record:
    history = History({SLOW: [3e-4, 3.1e-4], FAST: [fast, fast, fast]})
    return Record(device.environment, problem.bucketed, (("tiles", 1),), history, ((Config("broken"), "no"),), date)


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record())
    (found,) = store.records(DEVICE.environment)
    assert found.to_line() == record().to_line()
    assert found.history.samples == record().history.samples
    assert store.known(GEMM, DEVICE, VERSIONS).ranked() == [FAST, SLOW]


def test_warm_samples_are_kept_beside_cold_ones(tmp_path: Path) -> None:
    store, cold = Store(tmp_path), record()
    warm = History({FAST: [5e-5], SLOW: [1e-4, 1e-4]})
    store.put(replace(cold, warm=warm))
    (found,) = store.records(DEVICE.environment)
    assert found.warm.samples == warm.samples
    assert found.history.samples == cold.history.samples
    assert "warm" not in cold.to_line()
    for damage in ('"warm":7', '"warm":[7]', '"warm":[{"ns":[1]}]', '"hot":[]'):
        with pytest.raises(TuneError):
            Record.from_line(cold.to_line()[:-1] + "," + damage + "}")


def test_convolutions_of_another_batch_are_near(tmp_path: Path) -> None:
    store = Store(tmp_path)
    of = "images={} h=7 w=7 c=64 kernel=3x3 stride=1x1 pad=1x1 dilation=1x1 fill=0"
    one, many = (Problem("conv2d", 49 * n, 64, 576, detail=of.format(n)) for n in (1, 32))
    store.put(record(one))
    assert store.lookup(many, DEVICE, VERSIONS, [FAST]) == FAST
    other = Problem("conv2d", 49, 64, 576, detail=of.format(1).replace("stride=1x1", "stride=2x2"))
    assert store.lookup(other, DEVICE, VERSIONS, [FAST]) is None


def test_lookup_takes_the_fastest_valid_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record())
    assert store.lookup(GEMM, DEVICE, VERSIONS, [FAST, SLOW]) == FAST
    assert store.lookup(GEMM, DEVICE, VERSIONS, [SLOW]) == SLOW
    assert store.lookup(GEMM, DEVICE, VERSIONS, []) is None


def test_strangers_are_never_used_nor_overwritten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(device=OTHER))
    assert store.lookup(GEMM, DEVICE, VERSIONS, [FAST]) is None
    store.put(record())
    assert len(store.records(OTHER.environment)) == 1
    assert store.lookup(GEMM, DEVICE, {"tiles": 2}, [FAST, SLOW]) is None, "another version of the family"
    other_k = Problem("gemm", GEMM.m, GEMM.n, GEMM.k + 1)
    assert store.lookup(other_k, DEVICE, VERSIONS, [FAST]) is None


def test_the_nearest_bucket_serves(tmp_path: Path) -> None:
    store = Store(tmp_path)
    only_slow = Record(DEVICE.environment, Problem("gemm", 8, 256, 1024), (("tiles", 1),), History({SLOW: [1.0]}))
    store.merge([only_slow, record()])
    assert store.lookup(Problem("gemm", 96, 256, 1024), DEVICE, VERSIONS, [FAST, SLOW]) == FAST
    assert store.lookup(Problem("gemm", 16, 256, 1024), DEVICE, VERSIONS, [FAST, SLOW]) == SLOW


def test_merge_adds_each_line_once(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    store.merge([record(), record(device=OTHER)])
    assert store.export(tmp_path / "all.jsonl") == 2
    assert other.load(tmp_path / "all.jsonl") == 2
    assert other.load(tmp_path / "all.jsonl") == 0
    assert len(other.records()) == 2


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        '{"schema": 1}',
        record().to_line().replace('"schema":1', '"schema":2'),
        record().to_line().replace("300000", '"x"'),
        record().to_line().replace("300000", "-1"),
        record().to_line().replace('"compiled"', '"built"'),
        record().to_line()[:-20],
    ],
)
def test_damage_is_ignored_with_one_warning_and_stays(tmp_path: Path, line: str) -> None:
    store = Store(tmp_path)
    path = store.path(DEVICE.environment)
    path.write_text(line + "\n" + line + "\n")
    with pytest.warns(RuntimeWarning, match="2 lines are ignored, the first is line 1"):
        assert store.records(DEVICE.environment) == []
    store.put(record())
    assert path.read_text().startswith(line)
    with pytest.warns(RuntimeWarning):
        assert len(store.records(DEVICE.environment)) == 1
    (tmp_path / "import.jsonl").write_text(record().to_line() + "\n" + line + "\n")
    with pytest.raises(TuneError, match=r"import\.jsonl, line 2"):
        store.load(tmp_path / "import.jsonl")


def test_a_file_cut_in_a_line_keeps_the_next_record_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.path(DEVICE.environment).write_text(record().to_line()[:50])
    store.put(record())
    with pytest.warns(RuntimeWarning):
        assert len(store.records(DEVICE.environment)) == 1


def write_some(folder: str, writer: int) -> None:
    store = Store(folder)
    for number in range(10):
        store.put(record(date=f"{writer}-{number}"))


def test_writers_do_not_lose_each_others_records(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_some, args=(str(tmp_path), i)) for i in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    assert {r.date for r in Store(tmp_path).records()} == {f"{w}-{n}" for w in range(3) for n in range(10)}
    assert not list(tmp_path.glob("*.lock"))


def test_t4_holds_every_sample() -> None:
    document = to_t4(record())
    json.dumps(document)
    times = {tuple(r["times"]["runtimes"]) for r in document["results"]}
    assert (0.3, 0.31) in times
    allowed = {"timeout", "compile", "runtime", "correctness", "constraints", "correct"}
    assert {r["invalidity"] for r in document["results"]} <= allowed
    assert sum(r["invalidity"] == "correct" for r in document["results"]) == 2
