"""Data sets by name: `@register_dataset` on a data module class adds one, `create(name, ...)` makes one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from bitwright.data.facts import DatasetFacts

if TYPE_CHECKING:
    from bitwright.data.module import ImageData

_MODULES: dict[str, type[ImageData]] = {}

_Class = TypeVar("_Class", bound="type[ImageData]")


class UnknownDatasetError(ValueError):
    """No data set of that name; the message lists the known ones."""


def register_dataset(cls: _Class) -> _Class:
    """Class decorator: registers a data module under `cls.facts.name`."""
    name = cls.facts.name
    if name in _MODULES and _MODULES[name].__qualname__ != cls.__qualname__:
        raise ValueError(f"data set {name!r} is registered twice: {_MODULES[name].__qualname__} and {cls.__qualname__}")
    _MODULES[name] = cls
    return cls


def dataset_class(name: str) -> type[ImageData]:
    """The data module class of a data set.

    Raises:
        UnknownDatasetError: no such name.
    """
    if name not in _MODULES:
        raise UnknownDatasetError(f"unknown data set {name!r}; known: {', '.join(list_datasets())}")
    return _MODULES[name]


def create(name: str, **arguments: Any) -> ImageData:
    """A data module by name, e.g. `create("fashion", batch_size=128)`.

    Raises:
        UnknownDatasetError: no such name.
        TypeError: an argument that this data set does not take; the message lists those it takes.
    """
    cls = dataset_class(name)
    accepted = [p for p in inspect.signature(cls).parameters if p != "self"]
    unknown = sorted(set(arguments) - set(accepted))
    if unknown:
        raise TypeError(f"data set {name!r} does not take {', '.join(unknown)}; it takes: {', '.join(accepted)}")
    return cls(**arguments)


def list_datasets() -> list[str]:
    """Names of all registered data sets, sorted."""
    return sorted(_MODULES)


def facts(name: str) -> DatasetFacts:
    """Facts of a data set without loading it."""
    return dataset_class(name).facts
