"""A typed function becomes a command: its signature gives the options, its docstring their help."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from typing import Any


def normalise(argv: Sequence[str], flags: Sequence[str] = ()) -> list[str]:
    """`--data-root x` is `--data_root x`, and a bare `--flag` (a boolean option) is `--flag=true`."""
    result = []
    for position, arg in enumerate(argv):
        if arg.startswith("--"):
            name, equals, value = arg[2:].partition("=")
            name = name.replace("-", "_")
            bare = not equals and (position + 1 == len(argv) or argv[position + 1].lower() not in ("true", "false"))
            arg = f"--{name}=true" if name in flags and bare else f"--{name}{equals}{value}"
        result.append(arg)
    return result


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
    parameters = inspect.signature(function).parameters.values()
    # A positional parameter with a list's type takes all remaining words: `run net.bwm a.png b.png`.
    many: set[str | int] = {p.name for p in parameters if p.default is p.empty and str(p.annotation).startswith("list")}
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip=many)
    for name in map(str, many):
        parser.add_argument(name, nargs="+", type=str, help=_argument_help(function, name))
    flags = [p.name for p in parameters if isinstance(p.default, bool)]
    options: dict[str, Any] = parser.parse_args(normalise(argv, flags)).as_dict()
    return int(function(**options) or 0)


def _argument_help(function: Callable[..., Any], name: str) -> str:
    """The line of the docstring's `Args:` section for `name`."""
    for line in (inspect.getdoc(function) or "").splitlines():
        if line.strip().startswith(f"{name}: "):
            return line.strip().removeprefix(f"{name}: ")
    return ""


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()
) -> None:
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
