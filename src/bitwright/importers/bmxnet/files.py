"""The two files of an MXNet model: whichever is given, the other is found beside it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from ..errors import ImportModelError
from ..source import Source
from .params import MAGIC

_EPOCH = re.compile(r"(?P<prefix>.*)-(?P<epoch>\d{4,})\.params")
_SYMBOL = "-symbol.json"


@dataclass(frozen=True)
class Pair:
    """Both files of a model."""

    symbol: Path
    params: Path


def is_symbol(source: Source) -> bool:
    """JSON that lists nodes with operators, as far as its first bytes tell."""
    head = source.head.lstrip()
    return head.startswith(b"{") and re.search(rb'"nodes"\s*:\s*\[', head) is not None and b'"op"' in head


def is_params(source: Source) -> bool:
    """Begins with the magic number of an NDArray list."""
    return source.head[:16] == struct.pack("<QQ", MAGIC, 0)


def find_pair(source: Source) -> Pair:
    """Completes the pair by the names that MXNet gives: `NAME-symbol.json` and `NAME-0012.params` (12: the epoch).

    Raises:
        ImportModelError: the other file is not there, or several parameter files are; it names the paths tried.
    """
    path = source.path
    if is_params(source):
        matched = _EPOCH.fullmatch(path.name)
        prefix = matched["prefix"] if matched else path.stem
        tried = [path.with_name(prefix + _SYMBOL), path.with_name(prefix + ".json")]
        found = [p for p in tried if p.is_file()]
        if not found:
            raise ImportModelError(
                f"{path} holds the parameters only; its graph, the symbol file, is missing. "
                f"Looked for {_names(tried)} in {path.parent}"
            )
        return Pair(found[0], path)
    prefix = path.name.removesuffix(_SYMBOL) if path.name.endswith(_SYMBOL) else path.stem
    matches = [(p, _EPOCH.fullmatch(p.name)) for p in sorted(path.parent.glob("*.params"))]
    epochs = [p for p, m in matches if m is not None and m["prefix"] == prefix]
    plain = path.with_name(prefix + ".params")
    choices = [*epochs, *([plain] if plain.is_file() else [])]
    if not choices:
        raise ImportModelError(
            f"{path} holds the graph only; its parameters are missing. "
            f"Looked for {prefix}-NNNN.params and {plain.name} in {path.parent}"
        )
    if len(choices) > 1:
        raise ImportModelError(
            f"{path} has several parameter files beside it ({_names(choices)}); give the one that you mean instead"
        )
    return Pair(path, choices[0])


def _names(paths: list[Path]) -> str:
    return ", ".join(p.name for p in paths)
