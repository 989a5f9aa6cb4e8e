"""How candidates are searched; one file a strategy."""

from __future__ import annotations

import difflib

from bitwright.discovery import import_all

from ..errors import TuneError
from .base import Strategy, Trial

_FOUND: dict[str, type[Strategy]] = {}


def strategies() -> dict[str, type[Strategy]]:
    """All strategies by name."""
    if not _FOUND:
        import_all(__name__, __path__)
        _FOUND.update({s.name: s for s in Strategy.__subclasses__() if s.__module__.startswith(f"{__name__}.")})
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
