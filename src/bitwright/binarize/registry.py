"""A dictionary of named things whose errors say what exists."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class UnknownNameError(ValueError):
    """A name that no registry entry has; the message lists the known ones and guesses what was meant."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        guess = difflib.get_close_matches(str(name).lower(), names, n=1)
        hint = f" Did you mean {guess[0]!r}?" if guess else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}")
        self.name = name
        self.known = names


class Registry(Generic[T]):
    """Names of one kind of thing ("estimator", "method", ...), in order of registration."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files the decorated object under `name`. Raises ValueError when the name is taken."""

        def add(item: T) -> T:
            known = self._items.get(name)
            if known is not None and getattr(known, "__qualname__", known) != getattr(item, "__qualname__", item):
                raise ValueError(f"{self.kind} {name!r} is registered twice: {known!r} and {item!r}")
            self._items[name] = item
            return item

        return add

    def get(self, name: str) -> T:
        """The thing called `name`. Raises UnknownNameError."""
        try:
            return self._items[name]
        except (KeyError, TypeError):
            raise UnknownNameError(self.kind, name, self._items) from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
