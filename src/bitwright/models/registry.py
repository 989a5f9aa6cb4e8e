"""Networks by name: `@register_model(...)` on an entry function adds one, `create(name, ...)` builds one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from bitwright.models.style import MethodLike

EntryFunction = Callable[..., nn.Module]


@dataclass(frozen=True)
class Count:
    """A parameter count that a test asserts.

    Attributes:
        arguments: of `create`, beside the name.
        parameters: trainable parameters.
        binary: 1-bit weights among them.
        source: who says so ("paper", "Larq Zoo docs", "closed form").
    """

    arguments: Mapping[str, Any]
    parameters: int
    binary: int
    source: str


@dataclass(frozen=True)
class ModelInfo:
    """Facts of a network.

    Attributes:
        name: registry name = name of the entry function.
        summary: one line.
        paper: title and arXiv number of the paper that the topology is from, or "bitwright" for our own.
        year: of the paper.
        provenance: how it was read: "paper read", "code read", "docs read", "reconstruction", "ours", and what differs.
        input_size: (channels, height, width) that it was designed for.
        counts: asserted parameter counts.
        arguments: names of the entry function's arguments.
    """

    name: str
    summary: str
    paper: str
    year: int
    provenance: str
    input_size: tuple[int, int, int]
    counts: tuple[Count, ...] = ()
    arguments: tuple[str, ...] = field(default=())


class UnknownModelError(ValueError):
    """No network of that name; the message lists the known ones."""


_ENTRIES: dict[str, tuple[ModelInfo, EntryFunction]] = {}


def register_model(
    *,
    summary: str,
    paper: str,
    year: int,
    provenance: str,
    input_size: tuple[int, int, int],
    counts: tuple[Count, ...] = (),
) -> Callable[[EntryFunction], EntryFunction]:
    """Decorator that registers an entry function under its own name, with the facts of `ModelInfo`."""

    def register(entry: EntryFunction) -> EntryFunction:
        name = entry.__name__
        if name in _ENTRIES and _ENTRIES[name][1].__module__ != entry.__module__:
            raise ValueError(
                f"network {name!r} is registered twice: {_ENTRIES[name][1].__module__}, {entry.__module__}"
            )
        info = ModelInfo(name, summary, paper, year, provenance, input_size, counts)
        _ENTRIES[name] = (replace(info, arguments=tuple(inspect.signature(entry).parameters)), entry)
        return entry

    return register


def list_models() -> list[str]:
    """Names of all networks, sorted."""
    return sorted(_ENTRIES)


def model_info(name: str) -> ModelInfo:
    """Facts of a network.

    Raises:
        UnknownModelError: no such name.
    """
    return _entry(name)[0]


def create(
    name: str, num_classes: int = 10, in_channels: int = 3, method: MethodLike = "reactnet", **arguments: Any
) -> nn.Module:
    """Builds a network.

    Args:
        name: see `list_models()`.
        num_classes: outputs of the last layer.
        in_channels: channels of the image.
        method: binarization method of the binary layers (`bitwright.binarize.list_methods()`). None or "float" gives
            the unbinarized twin: the network's usual float form, with ReLU.
        **arguments: of the network's entry function, e.g. `stem="cifar"`.

    Returns:
        A module: float32 images [N, in_channels, H, W] to logits [N, num_classes].

    Raises:
        UnknownModelError: no such network.
        TypeError: an argument that this network does not take; the message lists those it takes.
        ValueError: a value out of range.
    """
    info, entry = _entry(name)
    unknown = sorted(set(arguments) - set(info.arguments))
    if unknown:
        raise TypeError(f"network {name!r} does not take {', '.join(unknown)}; it takes: {', '.join(info.arguments)}")
    if num_classes < 1 or in_channels < 1:
        raise ValueError(f"num_classes and in_channels must be at least 1, got {num_classes} and {in_channels}")
    method = None if method == "float" else method
    return entry(num_classes=num_classes, in_channels=in_channels, method=method, **arguments)


def _entry(name: str) -> tuple[ModelInfo, EntryFunction]:
    if name not in _ENTRIES:
        close = difflib.get_close_matches(str(name), _ENTRIES, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownModelError(f"unknown network {name!r}.{hint} Known: {', '.join(list_models())}")
    return _ENTRIES[name]
