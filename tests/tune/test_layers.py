"""Tuning a compiled model: the same answers, everything kept, a budget, Ctrl-C."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.test_tuning import images, network

import bitwright as bw
from bitwright import cli
from bitwright.runtime import Session, tuning
from bitwright.tune import Config, ModelReport, Store, TuneError, tune_session


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No results of this process, a cache of its own, no forced kernels."""
    monkeypatch.setattr(tuning, "_known", {})
    monkeypatch.setenv("BITWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BITWRIGHT_KERNEL", raising=False)


def test_answers_stay_and_every_timing_is_kept(tmp_path: Path) -> None:
    session = Session(network())
    expected = session.run(images())
    store = Store(tmp_path / "store")
    report = tune_session(session, store=store)
    np.testing.assert_array_equal(session.run(images()), expected)
    assert report.complete
    assert [layer.source for layer in report.layers].count("same") == 1, "two layers are alike"
    assert all(layer.after is not None and layer.before is not None for layer in report.layers)
    assert report.speedup >= 0.97
    records = store.records()
    kept = [{_text(c) for c in r.history.samples} for r in records]
    assert len(records) == len({layer["key"] for layer in session.tunable()})
    assert {frozenset(layer.ns) for layer in report.layers} == {frozenset(k) for k in kept}


def _text(config: Config) -> str:
    """The choice that the store's config stands for."""
    known = config.parameters
    kernel = f"{known['kernel']}/{known['tile']}" if "tile" in known else str(known["kernel"])
    return " ".join([kernel, *(f"{key}={known[key]}" for key in ("pixels", "threads") if key in known)])


def test_a_second_time_nothing_is_measured(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = tune_session(Session(network()), store=store)
    tuning._known.clear()
    second = tune_session(Session(network()), store=store)
    assert {layer.source for layer in second.layers} == {"known"}
    assert [layer.kernel for layer in second.layers] == [layer.kernel for layer in first.layers]
    assert "measured" in {layer.source for layer in tune_session(Session(network()), store=store, again=True).layers}


def test_a_session_takes_the_decisions_without_timing() -> None:
    chosen = [layer.kernel for layer in tune_session(Session(network())).layers]
    tuning._known.clear()
    later = Session(network(), tune=True)
    assert [t["kernel"] for t in later.tune()] == chosen
    assert {t["source"] for t in later.tune()} == {"cache"}


def test_the_budget(tmp_path: Path) -> None:
    session = Session(network())
    report = tune_session(session, budget=1e-9, store=Store(tmp_path / "store"))
    assert not report.complete
    assert {layer.source for layer in report.layers} == {"budget"}
    assert report.changed == 0
    assert report.speedup == 1.0
    assert "the budget ended" in str(report)
    with pytest.raises(TuneError, match="budget is 'soon'"):
        tune_session(session, budget="soon")


def test_ctrl_c_keeps_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(network())
    real, calls = Session.time_kernels, []

    def interrupted(self: Session, index: int, *, batch: int = 1) -> tuning.Entry:
        calls.append(index)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, index, batch=batch)

    monkeypatch.setattr(Session, "time_kernels", interrupted)
    store = Store(tmp_path / "store")
    report = tune_session(session, store=store)
    assert report.interrupted
    assert not report.complete
    assert len(store.records()) == 1
    assert "measured" in {layer.source for layer in report.layers}


def test_forced_kernels_leave_nothing_to_choose() -> None:
    with pytest.raises(ValueError, match="the kernels are forced"):
        tune_session(Session(network(), kernel="portable"))


def test_within_a_block_the_first_run_tunes(tmp_path: Path) -> None:
    session, x = Session(network()), images(3)
    expected = session.run(x)
    with bw.tune(budget="20s", store=Store(tmp_path / "store")) as reports:  # type: ignore[operator]
        np.testing.assert_array_equal(session.run(x), expected)
        assert len(reports) == 1
        session.run(x)
        assert len(reports) == 1, "once a session and batch"
        session.run(x[:1])
        assert len(reports) == 2
    session.run(x[:2])
    assert len(reports) == 2, "not outside the block"
    assert isinstance(reports[0], ModelReport)


def test_choices_are_checked() -> None:
    session = Session(network())
    (first, *_) = session.tunable()
    with pytest.raises(ValueError, match="no_such"):
        session.use_kernels({first["index"]: "no_such"})


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, store = tmp_path / "net.bwm", tmp_path / "store"
    model.write_bytes(network())
    command = ["tune", str(model), "--budget", "30s", "--store", str(store), "--t4", str(tmp_path / "t4")]
    assert cli.main([*command, "--export", str(tmp_path / "all.jsonl")]) == 0
    text = capsys.readouterr().out
    assert "layers with a choice, " in text
    assert "bconv_" in text
    documents = [json.loads(p.read_text()) for p in (tmp_path / "t4").iterdir()]
    assert documents
    assert all(d["schema_version"] == "1.0.0" and d["results"] for d in documents)
    other = ["--merge", str(tmp_path / "all.jsonl"), "--store", str(tmp_path / "other")]
    assert cli.main(["tune", str(model), *other]) == 0
    assert f"merged {len(documents)} new records" in capsys.readouterr().out
    assert cli.main(["tune", str(model), "--budget", "soon"]) == 2
    assert "budget is 'soon'" in capsys.readouterr().err
