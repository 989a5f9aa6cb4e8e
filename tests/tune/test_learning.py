"""The learned model, the portfolio, and how they are judged."""

from __future__ import annotations

import math

import pytest

from bitwright.tune import Config, Device, History, Problem, Record, TuneError
from bitwright.tune.model import CostModel
from bitwright.tune.portfolio import choose_portfolio
from bitwright.tune.regret import compare

TILES = (16, 32, 64, 128, 256)


def tile(size: int) -> Config:
    return Config.of("tiles", {"tile": size})


def record(m: int, n: int = 256, k: int = 1024, machine: str = "a") -> Record:
    """A machine where the best tile grows with the number of rows."""
    problem = Problem("gemm", m, n, k)
    best = math.log2(m) / 2 + 3
    times = {tile(t): [1e-9 * m * n * k * (1 + 0.2 * abs(math.log2(t) - best))] for t in TILES}
    environment = Device.of("cpu", machine, {}, "").environment
    return Record(environment, problem, (("tiles", 1),), History(times))


RECORDS = [record(m) for m in (4, 8, 16, 32, 64, 128, 256, 512, 1024)]


def test_the_model_learns_what_depends_on_the_shape() -> None:
    model = CostModel.train([r for r in RECORDS if r.problem.m not in (8, 256)])
    for left_out in (8, 256):
        truth = record(left_out).history
        expected = model.predict(Problem("gemm", left_out, 256, 1024), [tile(t) for t in TILES])
        guess = tile(TILES[int(expected.argmin())])
        assert truth.time(guess) <= 1.1 * truth.time(truth.ranked()[0])


def test_training_needs_a_choice() -> None:
    with pytest.raises(TuneError, match="tune something first"):
        CostModel.train([])


def test_unknown_configs_do_not_break_the_model() -> None:
    expected = CostModel.train(RECORDS).predict(RECORDS[0].problem, [tile(16), Config.of("other", {"x": 1})])
    assert all(map(math.isfinite, expected))


def test_a_portfolio_covers_more_with_each_member() -> None:
    assert choose_portfolio(RECORDS, 0) == ()
    whole = choose_portfolio(RECORDS, 5)
    assert set(whole) == {tile(t) for t in TILES}

    def loss(size: int) -> float:
        chosen = whole[:size]
        return sum(math.log(min(map(r.history.time, chosen)) / r.history.time(r.history.ranked()[0])) for r in RECORDS)

    assert loss(1) > loss(2) > loss(3) >= loss(4) >= loss(5) == 0
    assert choose_portfolio(RECORDS, 2) == whole[:2], "a smaller one is the beginning of a larger one"


def test_regret_leaves_out_what_is_asked() -> None:
    found = {(r.way, r.measured): r for r in compare(RECORDS, (1, 2, 5))}
    assert all(len(r.slowdowns) == len(RECORDS) and min(r.slowdowns) >= 1 for r in found.values())
    for way in ("portfolio", "predict", "nearest"):
        assert found[way, 1].mean >= found[way, 2].mean >= found[way, 5].mean == pytest.approx(1)
    assert found["predict", 1].mean < found["portfolio", 1].mean, "here the shape decides, and only the model sees it"
    assert found["predict", 1].worst < 1.21, "beyond the measured sizes it is one tile off"


def test_regret_by_device() -> None:
    everything = RECORDS + [record(m, machine="b") for m in (4, 64, 1024)]
    found = compare(everything, (1,), by="device")
    assert all(len(r.slowdowns) == len(everything) for r in found)
    with pytest.raises(ValueError, match="all records are of one device"):
        compare(RECORDS, by="device")
    with pytest.raises(ValueError, match="by is 'shape'"):
        compare(RECORDS, by="shape")
