"""Kernel Tuner on our timings: what it is given, how it is judged (the replay itself needs the peers' environment)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from benchmarks import tune_replay

from bitwright.tune import Record

RECORDS = Path(__file__).resolve().parents[2] / "results/tune_products.jsonl"


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [Record.from_line(line) for line in RECORDS.read_text().splitlines()]


def test_a_space_holds_every_measured_candidate_once(records: list[Record]) -> None:
    for record in records:
        space = tune_replay.space_of(record)
        values = [tuple(config["values"]) for config in space["configs"]]
        assert len(set(values)) == len(values) == len(record.history)
        assert all(len(v) == len(space["keys"]) for v in values)
        best = record.history.ranked()[0]
        fastest = min(space["configs"], key=lambda config: config["ms"])
        assert math.isclose(fastest["ms"], 1e3 * record.history.time(best))


def test_slowdown_is_of_the_best_so_far() -> None:
    assert tune_replay.slowdowns([[4.0, 2.0, 8.0], [3.0]], 2.0, 1) == [2.0, 1.5]
    assert tune_replay.slowdowns([[4.0, 2.0, 8.0], [3.0]], 2.0, 3) == [1.0, 1.5]


def test_a_missing_environment_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make bench-peers"):
        tune_replay.replayed([], 1, tmp_path / "python")
