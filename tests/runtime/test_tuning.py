"""Kernels chosen by timing: the same answers, results kept and found again, cache files of any content."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.runtime import Session, kernels, tuning
from bitwright.runtime import errors as bw_errors

from . import builder as b
from .builder import Builder, Geometry

G = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))


def network(channels: int = 64, size: int = 10) -> bytes:
    """Three binary 3x3 convolutions: two alike, with thresholds, and one that gives floats."""
    rng = np.random.default_rng(channels)
    m = Builder()
    x = m.value("f32", (1, size, size, channels), role="input", name="x", axes=(2, 3, 4))
    bits = m.value("bits", (1, size, size, channels))
    m.map(x, [b.store_bits(bits)])
    for _ in range(2):
        then = m.value("bits", (1, size, size, channels))
        weight = m.constant(b.pack(rng.random((channels, 9, channels)) < 0.5))
        limit = m.constant(rng.integers(-40, 40, channels).astype(np.int32))
        m.bconv(bits, weight, channels, (1, size, size), G, [b.threshold(then, limit)])
        bits = then
    y = m.value("f32", (1, size, size, 70), role="output", name="y", axes=(2, 3, 4))
    m.bconv(bits, m.constant(b.pack(rng.random((70, 9, channels)) < 0.5)), 70, (1, size, size), G, [b.store(y)])
    return m.file()


def images(batch: int = 2, channels: int = 64, size: int = 10) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((batch, size, size, channels)).astype(np.float32)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No results of this process, a cache of its own, no forced kernels."""
    monkeypatch.setattr(tuning, "_known", {})
    monkeypatch.setenv("BITWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BITWRIGHT_KERNEL", raising=False)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_kernel_gives_the_same_answers(threads: int) -> None:
    session = Session(network(), threads)
    x = images()
    expected = session.run(x)
    tried = set()
    for op in session.ops():
        for kernel in session._native.kernels_for(op["index"]):
            other = Session(network(), threads)
            other._native = other._native.with_choices({op["index"]: kernel})
            assert other.ops()[op["index"]]["choice"] == kernel
            assert other.ops()[op["index"]]["kernel"] == kernel.partition("/")[0]
            np.testing.assert_array_equal(other.run(x), expected)
            tried.add(kernel)
    usable = {k["name"] for k in kernels() if k["supported"] and k["operation"] == "bconv"}
    assert {name.partition("/")[0] for name in tried} <= usable
    tiles = {f"{k['name']}/{t}" for k in kernels() for t in k["tiles"]}
    assert {name for name in tried if "/" in name} <= tiles
    assert "bconv_avx2" not in usable or "bconv_avx2/3x64" in tried
    assert "bconv_portable" in tried
    assert ("bconv_gfni" in tried) == ("bconv_gfni" in usable)


def test_tune_keeps_answers_and_results(tmp_path: Path) -> None:
    session = Session(network())
    before = session.run(images())
    tuned = session.tune(batch=2)
    assert [t["index"] for t in tuned] == [1, 2, 3]
    assert [t["source"] for t in tuned] == ["measured"] * 3
    assert tuned[0]["ns"] == tuned[1]["ns"]  # alike: timed once
    for entry, op in zip(tuned, session.ops()[1:], strict=True):
        assert op["choice"] == entry["kernel"]
        assert {entry["standard"], entry["kernel"]} <= set(entry["ns"])
        assert entry["gain"] == 1 if entry["kernel"] == entry["standard"] else entry["gain"] > 1.02
        assert all(ns > 0 for ns in entry["ns"].values())
    np.testing.assert_array_equal(session.run(images()), before)

    # The process knows; then, without it, the file.
    assert {t["source"] for t in Session(network()).tune(batch=2)} == {"process"}
    tuning._known.clear()
    again = Session(network()).tune(batch=2)
    assert {t["source"] for t in again} == {"cache"}
    assert [t["kernel"] for t in again] == [t["kernel"] for t in tuned]
    # Another batch, other threads, other layers, or `again`: measured.
    assert {t["source"] for t in Session(network()).tune(batch=1)} == {"measured"}
    assert {t["source"] for t in Session(network(), 2).tune(batch=2)} == {"measured"}
    assert {t["source"] for t in Session(network(32)).tune(batch=2)} == {"measured"}
    assert {t["source"] for t in Session(network()).tune(batch=2, again=True)} == {"measured"}
    content = json.loads(tuning.default_cache_path().read_text())
    assert content["format"] == 2
    assert list(content["machines"]) == [tuning.machine()]
    assert len(content["machines"][tuning.machine()]) == 2 * 4
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["tuning.json"]  # no temporary files


def test_argument_of_the_session(tmp_path: Path) -> None:
    Session(network(), tune=False)
    assert not tuning.default_cache_path().exists()
    Session(network(), tune=True)
    assert tuning.default_cache_path().exists()
    own = tmp_path / "a" / "own.json"
    tuning._known.clear()
    session = Session(network(), tune=own)
    assert own.exists()
    tuning._known.clear()
    assert {t["source"] for t in session.tune(cache=str(own))} == {"cache"}
    tuning._known.clear()
    assert {t["source"] for t in session.tune(cache=False)} == {"measured"}


def test_a_known_choice_is_taken() -> None:
    """What the file says is done, not what rules say."""
    session = Session(network())
    layers = {f"{session._native.layer_text(i)} | batch 1 | threads 1" for i in (1, 2, 3)}
    tuning.TuningCache(tuning.default_cache_path()).put(
        {layer: {"kernel": "bconv_portable", "gain": 1.5, "ns": {"bconv_portable": 1}} for layer in layers}
    )
    tuned = session.tune()
    assert {t["kernel"] for t in tuned} == {"bconv_portable"}
    assert [op["kernel"] for op in session.ops()][1:] == ["bconv_portable"] * 3
    np.testing.assert_array_equal(session.run(images()), Session(network()).run(images()))


@pytest.mark.parametrize("settings", ["", " pixels=24", " threads=1", " pixels=100000 threads=2"])
def test_settings_of_a_choice_are_kept_and_used(settings: str) -> None:
    session = Session(network(), 2)
    keys = {layer["key"] for layer in session.tunable()}
    choice = session.tunable()[0]["kernels"][-1] + settings
    tuning.TuningCache(tuning.default_cache_path()).put(
        {key: {"kernel": choice, "gain": 1.1, "ns": {}} for key in keys}
    )
    tuning._known.clear()
    assert {(t["kernel"], t["source"]) for t in session.tune()} == {(choice, "cache")}
    assert [op["choice"] for op in session.ops()[1:]] == [choice] * 3
    np.testing.assert_array_equal(session.run(images()), Session(network()).run(images()))


@pytest.mark.parametrize(
    "settings",
    [" pixels=0", " pixels=x", " rows=4", " threads=1 pixels=2", "  pixels=1", " ", " pixels=9999999", "/1x1"],
)
def test_choices_that_cannot_be_are_not_taken_from_a_cache(settings: str) -> None:
    session = Session(network())
    layer = session.tunable()[0]
    choice = layer["kernels"][0] + settings
    tuning.TuningCache(tuning.default_cache_path()).put({layer["key"]: {"kernel": choice, "gain": 1.1, "ns": {}}})
    assert {t["source"] for t in session.tune()} == {"measured"}
    if not settings.startswith(" threads"):  # in any order
        with pytest.raises(bw_errors.KernelError):
            session.use_kernels({1: choice})


def test_a_cache_of_the_older_form_is_dropped_without_a_word() -> None:
    path = tuning.default_cache_path()
    path.parent.mkdir()
    entry = {"kernel": "bconv_portable", "ns": {"bconv_portable": 1}}
    key = Session(network(32, 4)).tunable()[0]["key"]
    path.write_text(json.dumps({"format": 1, "machines": {tuning.machine(): {key: entry}}}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {t["source"] for t in Session(network(32, 4)).tune()} == {"measured"}
    assert json.loads(path.read_text())["format"] == 2


def test_forced_kernels_are_not_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="forced"):
        Session(network(), kernel="portable", tune=True)
    monkeypatch.setenv("BITWRIGHT_KERNEL", "portable")
    with pytest.raises(ValueError, match="BITWRIGHT_KERNEL"):
        Session(network()).tune()


@pytest.mark.parametrize("batch", [0, -1, 2**32, True, 1.5])
def test_bad_batch(batch: object) -> None:
    with pytest.raises(ValueError, match="batch is"):
        Session(network()).tune(batch=batch)  # type: ignore[arg-type]


HOSTILE = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b"[]",
    b"null",
    b'{"format": 3, "machines": {}}',
    b'{"format": 2}',
    b'{"format": 2, "machines": []}',
    b'{"format": 2, "machines": {"x": NaN',
]


@pytest.mark.parametrize("content", HOSTILE, ids=[repr(c[:20]) for c in HOSTILE])
def test_damaged_files_are_ignored_with_one_warning_and_replaced(content: bytes) -> None:
    path = tuning.default_cache_path()
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"tuning\.json are ignored") as caught:
        assert {t["source"] for t in Session(network(32, 4)).tune()} == {"measured"}
    assert len(caught) == 1
    tuning._known.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {t["source"] for t in Session(network(32, 4)).tune()} == {"cache"}


ENTRIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("bconv_gfni"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kernel", "gain", "ns", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(entry=ENTRIES)
def test_entries_of_any_kind_do_no_harm(entry: object) -> None:
    session = Session(network(32, 4))
    layer = f"{session._native.layer_text(1)} | batch 1 | threads 1"
    path = tuning.default_cache_path()
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"format": 2, "machines": {tuning.machine(): {layer: entry}, "other": entry}}))
    found = tuning.TuningCache(path).get(layer, session._native.kernels_for(1))
    if found is not None:
        assert found[0]["kernel"] in session._native.kernels_for(1)
    assert tuning.TuningCache(path).get(layer, []) is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX")
def test_results_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="are not kept") as caught:
        tuned = Session(network(32, 4)).tune(cache=tmp_path / "file" / "tuning.json")
    assert {t["source"] for t in tuned} == {"measured"}
    assert len(caught) == 1


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITWRIGHT_CACHE", "/here")
    assert tuning.default_cache_path() == Path("/here/tuning.json")
    monkeypatch.delenv("BITWRIGHT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert tuning.default_cache_path() == Path("/there/bitwright/tuning.json")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(tuning.platform, "system", lambda: "Linux")
    assert tuning.default_cache_path() == Path.home() / ".cache" / "bitwright" / "tuning.json"
