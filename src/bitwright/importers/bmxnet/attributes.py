"""Typed access to an operator's attributes, which MXNet stores as strings: "(3, 3)", "True", "2e-05", "None"."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

from .unsupported import Unsupported

_TUPLE = re.compile(r"[(\[]\s*(?:-?\d+L?\s*(?:,\s*-?\d+L?\s*)*,?)?\s*[)\]]")
_LIMIT = 2**31
_BOOLEANS = {"True": True, "true": True, "1": True, "False": False, "false": False, "0": False}


class Attributes:
    """The attributes of one node; every method takes the default that MXNet documents.

    All methods raise Unsupported for a value that is not of the type.
    """

    def __init__(self, raw: Mapping[str, str]) -> None:
        self._raw = raw

    def has(self, name: str) -> bool:
        """The attribute is there and not None."""
        return self._raw.get(name, "None") != "None"

    def text(self, name: str, default: str | None = None, known: Collection[str] = ()) -> str:
        """A word, one of `known` if that is given."""
        if not self.has(name):
            if default is None:
                raise Unsupported(f"its attribute {name!r} is missing")
            return default
        value = self._raw[name]
        if known and value not in known:
            raise Unsupported(f"its {name} is {value!r}; known are {', '.join(sorted(known))}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or False."""
        if not self.has(name):
            return default
        value = self._raw[name]
        if value not in _BOOLEANS:
            raise self._bad(name, "True or False")
        return _BOOLEANS[value]

    def integer(self, name: str, default: int | None = None, least: int = -_LIMIT) -> int:
        """A whole number."""
        if not self.has(name):
            if default is None:
                raise Unsupported(f"its attribute {name!r} is missing")
            return default
        value = self._raw[name].removesuffix("L")
        if not re.fullmatch(r"\s*-?\d{1,10}\s*", value) or not least <= int(value) < _LIMIT:
            raise self._bad(name, f"an integer from {least}" if least > -_LIMIT else "an integer")
        return int(value)

    def number(self, name: str, default: float | None = None) -> float:
        """A finite float."""
        if not self.has(name):
            if default is None:
                raise Unsupported(f"its attribute {name!r} is missing")
            return default
        try:
            value = float(self._raw[name])
        except ValueError:
            raise self._bad(name, "a number") from None
        if not math.isfinite(value):
            raise self._bad(name, "a finite number")
        return value

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """A tuple of whole numbers; a single number is a tuple of one."""
        if not self.has(name):
            if default is None:
                raise Unsupported(f"its attribute {name!r} is missing")
            return tuple(default)
        value = self._raw[name].strip()
        if not _TUPLE.fullmatch(value) and not re.fullmatch(r"-?\d+L?", value):
            raise self._bad(name, "integers such as (3, 3)")
        numbers = tuple(int(v) for v in re.findall(r"-?\d+", value[:1000]))
        if any(abs(v) >= _LIMIT for v in numbers):
            raise self._bad(name, "integers below 2^31")
        return numbers

    def sizes(self, name: str, rank: int, default: int, least: int) -> tuple[int, ...]:
        """One integer >= `least` a spatial dimension; an empty tuple is the default everywhere."""
        found = self.integers(name, ()) or (default,) * rank
        if len(found) != rank or min(found) < least:
            raise self._bad(name, f"{rank} integers from {least}")
        return found

    def _bad(self, name: str, wanted: str) -> Unsupported:
        return Unsupported(f"its {name} is {self._raw[name]!r:.80}; it must be {wanted}")
