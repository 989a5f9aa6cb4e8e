"""Plain-text tables, with rich when it is installed."""

from __future__ import annotations

import io
from collections.abc import Sequence


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """A table as text. A column whose name starts with ">" is aligned to the right."""
    names = [c.removeprefix(">") for c in columns]
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return _plain(title, columns, rows)
    t = Table(title=Text(title), title_justify="left", pad_edge=False)
    for c, name in zip(columns, names, strict=True):
        t.add_column(name, justify="right" if c.startswith(">") else "left", no_wrap=True)
    for row in rows:
        t.add_row(*(Text(cell) for cell in row))
    wide = max(len(name) for name in names) + 2
    need = sum(max([len(r[i]) for r in rows] + [len(names[i])]) + 3 for i in range(len(names)))
    out = io.StringIO()
    Console(file=out, width=width or max(need, wide, len(title)) + 4, no_color=True).print(t)
    return out.getvalue().rstrip("\n")


def _plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    names = [c.removeprefix(">") for c in columns]
    widths = [max([len(r[i]) for r in rows] + [len(names[i])]) for i in range(len(names))]

    def line(cells: Sequence[str]) -> str:
        text = [
            cell.rjust(w) if c.startswith(">") else cell.ljust(w)
            for cell, w, c in zip(cells, widths, columns, strict=True)
        ]
        return "  ".join(text).rstrip()

    return "\n".join([title, line(names), line(["-" * w for w in widths]), *(line(r) for r in rows)])


def size(n: int) -> str:
    """A count with thousands separated, `-` for 0."""
    return f"{n:,}" if n else "-"


def dims(d: Sequence[int]) -> str:
    """(D, H, W, C) without leading ones: `28x28x1`, `64`."""
    numbers = list(d)
    while len(numbers) > 1 and numbers[0] == 1:
        numbers.pop(0)
    return "x".join(str(n) for n in numbers)
