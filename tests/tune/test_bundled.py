"""Shipped timings: there, small, behind the user's own, and harmless when damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitwright.tune import Device, Problem, bundled, space_of, this_cpu
from bitwright.tune.cpu import TEMPLATES
from bitwright.tune.portfolio import choose_portfolio

RESULTS = Path(__file__).resolve().parents[2] / "results" / "tune_products.jsonl"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    bundled.everything.cache_clear()
    bundled.portfolio.cache_clear()
    yield
    bundled.everything.cache_clear()
    bundled.portfolio.cache_clear()


def test_the_package_ships_what_was_measured() -> None:
    shipped = bundled.everything()
    assert [r.to_line() for r in shipped] == RESULTS.read_text().splitlines()
    assert bundled.portfolio("cpu") == choose_portfolio(shipped, 8)
    assert bundled.portfolio("cuda") == (), "no GPU was measured"
    size = sum(len(entry.read_bytes()) for entry in bundled.folder().iterdir() if entry.is_file())
    assert size < 256 << 10


def test_records_hold_for_the_same_hardware_alone() -> None:
    kind, name, facts, _ = bundled.everything()[0].environment.split(" | ")
    values = dict(item.split("=") for item in facts.replace("isas=", "isas=").split(" ") if "=" in item)
    assert values["threads"] == "1"
    same = Device(kind, name, (("x", 1),), "another engine")
    assert bundled.records(same) == []
    like = bundled.everything()[0].environment

    class Same:
        environment = like.rpartition(" | ")[0] + " | another engine"

    assert len(bundled.records(Same())) == len(bundled.everything())  # type: ignore[arg-type]


def test_a_portfolio_leads_the_space() -> None:
    space = space_of(Problem("gemm", 100, 256, 1024), this_cpu(1), TEMPLATES, bundled.portfolio("cpu"))
    assert set(space.configs[: space.portfolio]) <= set(bundled.portfolio("cpu"))


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1, "cpu": 3}', '{"format": 1, "cpu": [3]}'])
def test_a_damaged_portfolio_is_none(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / bundled.PORTFOLIO).write_text(text)
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path)
    with pytest.warns(RuntimeWarning, match="shipped timings are ignored: portfolio.json"):
        assert bundled.portfolio("cpu") == ()


def test_damaged_lines_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = RESULTS.read_text().splitlines()
    (tmp_path / "a.jsonl").write_text(lines[0][:100] + "\n" + lines[1] + "\n\xff\n")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setattr(bundled, "folder", lambda: tmp_path)
    with pytest.warns(RuntimeWarning, match="shipped timings are ignored: [ab].jsonl, line"):
        assert len(bundled.everything()) == 1
    assert bundled.portfolio("cpu") == (), "no file at all"


def test_the_files_are_made_by_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bitwright.tune.bundled", str(RESULTS), "--folder", str(tmp_path)]
    subprocess.run(command, check=True)
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (bundled.folder() / made.name).read_bytes()
    assert json.loads((tmp_path / bundled.PORTFOLIO).read_text())["format"] == bundled.FORMAT
