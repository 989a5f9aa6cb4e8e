"""Interleaved timing, results files, pages: everything but the clock."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bitwright.bench import Timing, interleave, ratio
from bitwright.bench.results import PROVENANCE, write_results
from bitwright.report import Page, bars, curves


def test_interleave_runs_everything_in_turn() -> None:
    calls: list[str] = []
    result = interleave(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=4, seconds_a_sample=0.0, warmup=0.0
    )
    assert [len(t.seconds) for t in result.values()] == [4, 4]
    assert calls == ["a", "a", "b", "b"] + ["a", "b"] * 4  # two warm-up calls each, then in turn


@pytest.mark.parametrize("arguments", [{"runs": {}}, {"runs": {"a": lambda: None}, "rounds": 0}])
def test_interleave_refuses(arguments: dict) -> None:
    with pytest.raises(ValueError, match="interleave"):
        interleave(**arguments)


def test_ratio_is_the_median_of_paired_ratios() -> None:
    slow, fast = Timing("slow", (4.0, 6.0, 100.0)), Timing("fast", (2.0, 2.0, 10.0))
    assert ratio(slow, fast) == 3.0
    with pytest.raises(ValueError, match="rounds"):
        ratio(slow, Timing("x", (1.0,)))


def test_results_carry_their_provenance(tmp_path: Path) -> None:
    path = write_results(tmp_path / "r.csv", "python x.py", [{"a": 1, "b": "x"}, {"a": 2, "b": "y,z"}])
    rows = list(csv.DictReader(path.open()))
    assert [(r["a"], r["b"]) for r in rows] == [("1", "x"), ("2", "y,z")]
    assert all(r["command"] == "python x.py" for r in rows)
    assert set(PROVENANCE) <= set(rows[0])
    write_results(path, "python y.py", [{"a": 3, "b": "z"}], keep=rows[:1])
    again = list(csv.DictReader(path.open()))
    assert [(r["a"], r["command"]) for r in again] == [("1", "python x.py"), ("3", "python y.py")]
    with pytest.raises(ValueError, match="columns"):
        write_results(path, "c", [{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="earlier row"):
        write_results(path, "c", [{"a": 1}], keep=rows)
    with pytest.raises(ValueError, match="no rows"):
        write_results(path, "c", [])
    assert [p.name for p in tmp_path.iterdir()] == ["r.csv"], "no temporary file stays"


def test_page_is_self_contained_and_escapes(tmp_path: Path) -> None:
    page = Page("a < b", "lead & more")
    page.heading("<h>")
    page.table(["x", "y"], [("<td>", None), (1, 2)], right=(1,))
    page.figure(bars({"engine": 1.0, "peer": 2.0}, "µs", spread={"engine": (0.9, 1.1)}), 'a "caption"')
    page.figure(curves({"acc": {"train": ([1, 2], [0.5, 0.7])}}), "curves")
    text = page.write(tmp_path / "sub" / "page.html").read_text(encoding="utf-8")
    assert "a &lt; b" in text
    assert "&lt;td&gt;" in text
    assert text.count("data:image/png;base64,") == 2
    assert "http" not in text.replace("http-equiv", ""), "nothing is loaded from a network"
