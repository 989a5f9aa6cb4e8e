"""How candidates are searched; one file a strategy."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from ..errors import TuneError
from .base import Strategy, Trial

_FOUND: dict[str, type[Strategy]] = {}


def strategies() -> dict[str, type[Strategy]]:
    """All strategies by name."""
    if not _FOUND:
        for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
            for item in vars(importlib.import_module(f"{__name__}.{module}")).values():
                if isinstance(item, type) and issubclass(item, Strategy) and item is not Strategy:
                    _FOUND[item.name] = item
    return dict(_FOUND)


def strategy_of(name: str) -> Strategy:
    """A strategy with its standard settings. Raises TuneError for an unknown name."""
    known = strategies()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise TuneError(f"unknown strategy {name!r}.{hint} Known are {', '.join(sorted(known))}")
    return known[name]()


__all__ = ["Strategy", "Trial", "strategies", "strategy_of"]
