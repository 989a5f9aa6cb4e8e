"""Problems, configs and spaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.tune import Config, Problem, TuneError, bucket_of, space_of

from .surfaces import DEVICE, GEMM, Tiles, space


@given(st.integers(1, 1 << 20))
def test_buckets_cover_and_do_not_grow_by_more_than_half(m: int) -> None:
    bucket = bucket_of(m)
    assert m <= bucket
    assert bucket_of(bucket) == bucket
    assert m > 16 or bucket < 2 * m
    assert m <= 16 or bucket <= 1.5 * m


def test_bad_problems() -> None:
    with pytest.raises(TuneError, match="k is 0; an integer of at least 1"):
        Problem("gemm", 1, 1, 0)
    with pytest.raises(TuneError, match="op is 'gem'"):
        Problem("gem", 1, 1, 1)
    with pytest.raises(TuneError, match="unknown format 'int1'"):
        Problem("gemm", 1, 1, 1, a="int1")
    with pytest.raises(TuneError, match="out is 's8'"):
        Problem("gemm", 1, 1, 1, out="s8")
    with pytest.raises(TuneError, match="at least 1 row"):
        bucket_of(0)


def test_dicts_come_back() -> None:
    assert Problem.from_dict(GEMM.to_dict()) == GEMM
    config = Config.of("tiles", {"bm": 32, "isa": "avx2"}, split=2)
    assert Config.from_dict(config.to_dict()) == config
    assert config["isa"] == "avx2"
    with pytest.raises(KeyError, match="has no parameter 'bk'"):
        config["bk"]
    for wrong in ({"op": "gemm"}, {"op": "gemm", "m": 1, "n": 1, "k": 1, "x": 1}, [], None):
        with pytest.raises(TuneError):
            Problem.from_dict(wrong)
    for wrong in (
        {},
        {"template": "t", "compiled": [], "run": {}},
        {"template": "t", "compiled": {"a": 1.5}, "run": {}},
    ):
        with pytest.raises(TuneError, match="not a config"):
            Config.from_dict(wrong)


def test_a_space_has_each_config_once_and_a_reason_for_each_refusal() -> None:
    found = space()
    everything = list(Tiles().space(GEMM, DEVICE))
    assert set(found.configs) | {c for c, _ in found.refused} == set(everything)
    assert len(found.configs) + len(found.refused) == len(everything) == 128
    assert all("512 KB" in reason for _, reason in found.refused)
    assert found.configs[0]["bm"] == 256, "the cheapest guess comes first"


def test_the_portfolio_comes_first_without_what_is_invalid() -> None:
    fit = Config.of("tiles", {"bm": 32, "bn": 32}, swizzle=8, split=2)
    misfit = Config.of("tiles", {"bm": 256, "bn": 256}, swizzle=1, split=1)
    found = space((misfit, fit))
    assert found.configs[0] == fit
    assert found.portfolio == 1
    assert len(set(found.configs)) == len(found.configs) == 120


def test_families_of_other_devices_are_left_out() -> None:
    class Elsewhere(Tiles):
        kind = "cuda"

    assert space_of(GEMM, DEVICE, [Elsewhere()]).configs == ()
