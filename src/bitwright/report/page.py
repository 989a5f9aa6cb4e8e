"""A self-contained HTML page: text, tables and figures, no scripts, no network."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitwright.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1f27; --dim: #5b6572; --line: #d7dce2; --paper: #fff; --accent: #0b6e5f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --dim: #9aa4b1; --line: #333b46; --paper: #14181e; --accent: #4fc3ad; }
}
body {
  font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
}
h1 { font-size: 1.6rem; margin-bottom: .2rem }
h2 { font-size: 1.15rem; margin-top: 2.2rem; color: var(--accent) }
p.lead { color: var(--dim); margin-top: 0 }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 1rem; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem }
th { text-align: left; color: var(--dim); font-weight: 600; border-bottom-width: 2px }
td.n, th.n { text-align: right }
figure { margin: 1rem 0 }
figure img { max-width: 100%; background: #fff; border: 1px solid var(--line); border-radius: 6px }
figcaption, footer { color: var(--dim); font-size: .88rem }
.scroll { overflow-x: auto }
"""

_WIDE = """
body { max-width: none; margin: 1.5rem 1rem; font-size: 15px }
table { font-size: .87rem }
td.n { white-space: nowrap }
"""


class Page:
    """Collects blocks and writes them as one HTML file.

    Args:
        title: the heading.
        lead: one sentence below it.
        wide: as wide as the window, for charts.
    """

    def __init__(self, title: str, lead: str = "", wide: bool = False) -> None:
        self.title = title
        self._styles = [_STYLE, _WIDE] if wide else [_STYLE]
        self._blocks: list[str] = [f"<h1>{html.escape(title)}</h1>"]
        if lead:
            self._blocks.append(f'<p class="lead">{html.escape(lead)}</p>')

    def heading(self, text: str) -> None:
        """Start a section."""
        self._blocks.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Add a paragraph of plain text."""
        self._blocks.append(f"<p>{html.escape(text)}</p>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> None:
        """Add a table; `right` holds the numbers of the right-aligned columns."""

        def cells(tag: str, values: Sequence[object]) -> str:
            texts = (html.escape("" if value is None else str(value)) for value in values)
            marks = (" class=n" if index in right else "" for index in range(len(values)))
            return "".join(f"<{tag}{mark}>{text}</{tag}>" for mark, text in zip(marks, texts, strict=True))

        body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
        self._blocks.append(f'<div class="scroll"><table><tr>{cells("th", columns)}</tr>{body}</table></div>')

    def html(self, block: str, style: str = "") -> None:
        """Add a block of HTML as it is, and the CSS that it needs."""
        self._blocks.append(block)
        if style and style not in self._styles:
            self._styles.append(style)

    def figure(self, figure: Figure, caption: str) -> None:
        """Add a matplotlib figure as an embedded PNG; the caption is its alternative text too."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        text = html.escape(caption)
        self._blocks.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )

    def footer(self, text: str) -> None:
        """Add the closing small print: where the figures come from."""
        self._blocks.append(f"<footer><p>{html.escape(text)}</p></footer>")

    def render(self) -> str:
        """The whole page as HTML."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{''.join(self._styles)}</style></head>\n<body>\n"
            + "\n".join(self._blocks)
            + "\n</body></html>\n"
        )

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page (to a temporary file first, so that nothing half-written stays) and return its path."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, self.render().encode("utf-8"))
        return target
