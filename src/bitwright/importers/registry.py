"""Formats by name; recognition by content."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from bitwright.discovery import import_all

from .errors import ImportModelError
from .imported import Imported
from .options import ImportOptions
from .source import Source

Sniff = Callable[[Source], bool]
Load = Callable[[Source, ImportOptions], Imported]


@dataclass(frozen=True)
class Format:
    """A kind of file that can be imported."""

    name: str
    title: str  # for people: "Larq Compute Engine (.tflite)"
    sniff: Sniff  # cheap: is this file of the format? Never raises for files of other formats.
    load: Load


_FORMATS: dict[str, Format] = {}


def register_format(name: str, title: str, sniff: Sniff) -> Callable[[Load], Load]:
    """Decorator of an importer's `load(source, options)`. Raises ValueError when the name is taken."""

    def add(load: Load) -> Load:
        if name in _FORMATS and _FORMATS[name].load.__qualname__ != load.__qualname__:
            raise ValueError(f"format {name!r} is registered twice")
        _FORMATS[name] = Format(name, title, sniff, load)
        return load

    return add


@cache
def _discover() -> None:
    from . import formats

    import_all(formats.__name__, formats.__path__)


def list_formats() -> list[Format]:
    """All formats, by name."""
    _discover()
    return [_FORMATS[name] for name in sorted(_FORMATS)]


def recognise(path: str | os.PathLike[str] | Source) -> Format:
    """The format of a file, by its content; its name does not count.

    Raises:
        FileNotFoundError: nothing is there.
        ImportModelError: no format fits, or several do.
    """
    source = path if isinstance(path, Source) else Source(path)
    fitting = [known for known in list_formats() if known.sniff(source)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(f.name for f in fitting)
        raise ImportModelError(f"{source.path} fits several formats ({names}); say which one: format=... (--format)")
    known_titles = "; ".join(f"{f.name}: {f.title}" for f in list_formats())
    start = source.head[:8].hex(" ") if source.head else "a folder or an empty file"
    raise ImportModelError(f"{source.path} is of no known format (it begins with {start}). Known are {known_titles}")


def load(path: str | os.PathLike[str], *, format: str | None = None, options: ImportOptions | None = None) -> Imported:
    """Imports a trained binary network of another framework.

    Args:
        path: the file; formats of two files (BMXNet) take either.
        format: a registry name, to skip the recognition.
        options: answers to what the file leaves open.

    Raises:
        FileNotFoundError: nothing is there.
        ImportModelError: unknown format, a damaged file, or something in it that has no exact counterpart.
    """
    source = Source(path)
    if format is None:
        chosen = recognise(source)
    else:
        found = {known.name: known for known in list_formats()}
        if format not in found:
            raise ImportModelError(f"unknown format {format!r}; known are {', '.join(found)}")
        chosen = found[format]
    return chosen.load(source, options or ImportOptions())
