"""Results that the package ships: timings of machines that were at hand, and the portfolio of configs made from them.

`python -m bitwright.tune.bundled` makes the files from exported stores. A user's own timings always come first
(`Chooser`, `tune_problems`); damaged files are left out with a warning and break nothing.
"""

from __future__ import annotations

import json
import sys
import warnings
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from ..config import Config
from ..device import Device
from ..errors import TuneError
from ..store import Record

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable

PORTFOLIO = "portfolio.json"
FORMAT = 1
_MOST_BYTES = 16 << 20


def folder() -> Traversable:
    """Where the files are."""
    return resources.files(__name__)


@cache
def everything() -> tuple[Record, ...]:
    """All shipped records."""
    found: list[Record] = []
    for entry in sorted(folder().iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".jsonl"):
            for number, line in enumerate(_text(entry).splitlines(), 1):
                try:
                    found.append(Record.from_line(line))
                except TuneError as error:
                    _warn(f"{entry.name}, line {number}: {error}")
    return tuple(found)


def records(device: Device) -> list[Record]:
    """Shipped records of the same hardware, whatever built its kernels."""
    return [r for r in everything() if _hardware(r.environment) == _hardware(device.environment)]


@cache
def portfolio(kind: str) -> tuple[Config, ...]:
    """The configs that were best together on shipped records of a kind of device ("cpu", "cuda"), best first."""
    entry = folder() / PORTFOLIO
    text = _text(entry)
    if not text:
        return ()
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get(kind, []), list):
            raise TuneError(f"not a portfolio of format {FORMAT}")
        return tuple(Config.from_dict(item) for item in data.get(kind, []))
    except (ValueError, RecursionError) as error:
        _warn(f"{entry.name}: {error}")
        return ()


def _hardware(environment: str) -> str:
    return environment.rpartition(" | ")[0]


def _text(entry: Traversable) -> str:
    try:
        data = entry.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        _warn(f"{entry.name}: {error}")
        return ""
    if len(data) > _MOST_BYTES:
        _warn(f"{entry.name}: more than {_MOST_BYTES} bytes")
        return ""
    return data.decode("utf-8", errors="replace")


def _warn(text: str) -> None:
    warnings.warn(f"shipped timings are ignored: {text}", RuntimeWarning, stacklevel=4)
