"""MXNet's symbol file: a graph as JSON.

Every node has `op` ("null": an input or a parameter), `name`, `inputs` as [node, output] or [node, output, version],
and attributes, all strings, under `attrs` (since MXNet 1.0), `attr`, or (oldest) the operator's own under `param`
beside the user's under `attr`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ImportModelError


@dataclass(frozen=True)
class SymbolNode:
    """A node of the graph; `inputs` are (node, output) pairs, of earlier nodes only."""

    op: str
    name: str
    attrs: Mapping[str, str]
    inputs: tuple[tuple[int, int], ...]

    @property
    def is_variable(self) -> bool:
        """An input or a parameter."""
        return self.op == "null"


@dataclass(frozen=True)
class Symbol:
    """The graph; nodes are in an order in which they can be computed."""

    nodes: tuple[SymbolNode, ...]
    heads: tuple[tuple[int, int], ...]
    version: str  # of MXNet: "0.9.3", or "" when the file does not say


def read_symbol(data: bytes, where: str) -> Symbol:
    """Parses a symbol file.

    Raises:
        ImportModelError: not JSON, or not a symbol.
    """
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImportModelError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("nodes"), list) or not raw["nodes"]:
        raise ImportModelError(f'{where}: not an MXNet symbol: it has no list "nodes"')
    nodes: list[SymbolNode] = []
    for i, node in enumerate(raw["nodes"]):
        nodes.append(_node(node, i, where))
    heads = raw.get("heads")
    if not isinstance(heads, list) or not heads:
        raise ImportModelError(f'{where}: not an MXNet symbol: it has no list "heads" (its outputs)')
    return Symbol(tuple(nodes), tuple(_entry(h, len(nodes), f"{where}: heads") for h in heads), _version(raw))


def _node(raw: Any, index: int, where: str) -> SymbolNode:
    what = f"{where}: node {index}"
    if not isinstance(raw, dict) or not isinstance(raw.get("op"), str) or not isinstance(raw.get("name"), str):
        raise ImportModelError(f'{what} has no "op" and "name"')
    attrs: dict[str, str] = {}
    for key in ("attr", "attrs", "param"):
        found = raw.get(key, {})
        if not isinstance(found, dict) or not all(isinstance(v, str | int | float) for v in found.values()):
            raise ImportModelError(f"{what} ({raw['name']!r}): its {key!r} must be an object of strings")
        attrs.update({str(k): str(v) for k, v in found.items()})
    inputs = raw.get("inputs", [])
    if not isinstance(inputs, list):
        raise ImportModelError(f"{what} ({raw['name']!r}): its inputs are not a list")
    return SymbolNode(
        raw["op"], raw["name"], attrs, tuple(_entry(e, index, f"{what} ({raw['name']!r})") for e in inputs)
    )


def _entry(raw: Any, count: int, what: str) -> tuple[int, int]:
    """A pair (node, output); only nodes below `count` can be meant."""
    if not isinstance(raw, list) or len(raw) not in (2, 3) or not all(type(v) is int for v in raw):
        raise ImportModelError(f"{what}: {raw!r} is not [node, output] of integers")
    if not 0 <= raw[0] < count or raw[1] < 0:
        raise ImportModelError(f"{what}: {raw} names node {raw[0]}; only 0 to {count - 1} come before it")
    return (raw[0], raw[1])


def _version(raw: Mapping[str, Any]) -> str:
    attrs = raw.get("attrs")
    entry = attrs.get("mxnet_version") if isinstance(attrs, dict) else None
    if isinstance(entry, list) and len(entry) == 2 and type(entry[1]) is int and entry[1] >= 0:
        return f"{entry[1] // 10000}.{entry[1] // 100 % 100}.{entry[1] % 100}"
    return ""
