"""A typed function becomes a command: its signature gives the options, its docstring their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any


def run_command(function: Callable[..., int | None], argv: Sequence[str], example: str) -> int:
    """Parse `argv` by the signature of `function` (parameters without a default are positional) and call it.

    Args:
        function: the command; its name is the verb, the first paragraph of its docstring the description.
        argv: the arguments after the verb.
        example: real command lines, shown at the end of `--help`.

    Returns:
        What `function` returns (None counts as 0).
    """
    from jsonargparse import ArgumentParser

    verb = function.__name__.rstrip("_")
    about = (function.__doc__ or "").split("\n\n")[0].strip()
    parser = ArgumentParser(
        prog=f"bitwright {verb}",
        description=about,
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_function_arguments(function, as_group=False, as_positional=True)
    options: dict[str, Any] = parser.parse_args(list(argv)).as_dict()
    return int(function(**options) or 0)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> None:
    """Print a table on the console; `right` holds the numbers of the right-aligned columns."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console()
    if not console.is_terminal:  # a pipe or a file has no width: do not fold the cells
        console = Console(width=200)
    console.print(table)
