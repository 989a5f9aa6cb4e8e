"""The answers that the native tests expect on every machine belong to the models of the corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .golden import CORPUS, GOLDEN, answers


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bwm")), ids=lambda path: path.stem)
def test_golden_answers_are_those_of_the_corpus(path: Path) -> None:
    file = (GOLDEN / path.name).with_suffix(".golden")
    assert file.exists(), f"{file.name} is missing; run 'python -m tests.runtime.golden' and commit it"
    data, at = file.read_bytes(), 0
    for kind, arrays in zip(("inputs", "outputs"), answers(path), strict=True):
        for array in arrays:
            stored = np.frombuffer(data, array.dtype.newbyteorder("<"), array.size, at).reshape(array.shape)
            at += array.nbytes
            if kind == "inputs" or array.dtype.kind != "f":
                np.testing.assert_array_equal(stored, array)
            else:
                np.testing.assert_allclose(stored, array, rtol=1e-5, atol=1e-5)
    assert at == len(data)


def test_every_golden_answer_has_a_model() -> None:
    assert {p.stem for p in GOLDEN.glob("*.golden")} == {p.stem for p in CORPUS.glob("*.bwm")}
