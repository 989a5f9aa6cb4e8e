"""Names, shell patterns and types that point at modules of a model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

Pattern = str | type[nn.Module]


def match_all(pattern: Pattern, name: str, module: nn.Module) -> bool:
    """Whether `pattern` means the module: its type, its dotted name, or the name of a module around it."""
    if isinstance(pattern, type):
        return isinstance(module, pattern)
    if not isinstance(pattern, str):
        raise TypeError(f"a module is given by name, shell pattern or type, got {pattern!r}")
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[: i + 1]), pattern) for i in range(len(parts)))


def describe(pattern: Pattern, names: Sequence[str]) -> str:
    """The pattern for an error message, with the nearest names that exist."""
    if isinstance(pattern, type):
        return f"type {pattern.__name__}"
    close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    return f"{pattern!r}" + (f" (did you mean {', '.join(map(repr, close))}?)" if close else "")
