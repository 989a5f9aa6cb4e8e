"""The flame chart of `bitwright profile --html`."""

from __future__ import annotations

import re

import pytest

from bitwright.report import Bar, flame


def drawn(text: str) -> dict[str, tuple[float, float, float]]:
    """name -> (left, width, top) of each bar."""
    found = re.findall(r'left:([\d.]+)%;width:([\d.]+)%;top:([\d.]+)rem;[^>]*><span class="label">([^<]*)<', text)
    return {name: (float(left), float(width), float(top)) for left, width, top, name in found}


def test_bars_lie_in_their_groups() -> None:
    text = flame([Bar(["net", "a", "x"], 1), Bar(["net", "a", "y"], 2), Bar(["net", "b", "z"], 5)], "µs")
    assert drawn(text) == {
        "net": (0, 100, 0),
        "a": (0, 37.5, 1.6),
        "x": (0, 12.5, 3.2),
        "y": (12.5, 25, 3.2),
        "b.z": (37.5, 62.5, 1.6),  # a group of one bar is one with it
    }


def test_groups_that_come_again_are_drawn_again() -> None:
    text = flame([Bar(["n", "a", "p"], 1), Bar(["n", "b"], 1), Bar(["n", "a", "q"], 2)], "µs")
    assert drawn(text) == {"n": (0, 100, 0), "a.p": (0, 25, 1.6), "b": (25, 25, 1.6), "a.q": (50, 50, 1.6)}


def test_text_is_escaped_and_marks_end_at_the_bar() -> None:
    text = flame([Bar(["n", "<a>"], 1, {"k&": "<v>"}, 'red"', mark=0.25), Bar(["n", "b"], 3, mark=7)], "µs")
    assert "&lt;a&gt;" in text
    assert "<dt>k&amp;</dt><dd>&lt;v&gt;</dd>" in text
    assert "red&quot;" in text
    assert re.findall(r'class="mark" style="width:([\d.]+)%', text) == ["25.0", "100.0"]


@pytest.mark.parametrize("bars", [[], [Bar([], 1)], [Bar(["a"], -1)], [Bar(["a"], 0)]])
def test_impossible_bars(bars: list[Bar]) -> None:
    with pytest.raises(ValueError, match="flame: "):
        flame(bars, "µs")
