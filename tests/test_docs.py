"""The pages that are generated from the registry: every method has its section and its plots."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from bitwright import binarize

pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", Path(__file__).parents[1] / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_method_has_a_section_and_plots(hooks: ModuleType) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", binarize.ScheduleNotSetWarning)
        pages = hooks._methods()
    text = pages["methods.md"]
    for info in binarize.list_methods():
        assert f"\n## {info.name}\n" in text
        assert info.title in text
        for formula in info.formula.values():
            assert formula.replace("|", "\\|") in text
    for path, image in pages.items():
        if path.endswith(".png"):
            assert path in text
            assert image[:8] == b"\x89PNG\r\n\x1a\n"
    # a table row has as many cells as its header
    rows = [line for line in text.splitlines() if line.startswith("| [`")]
    assert len(rows) == len(binarize.list_methods())
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}
