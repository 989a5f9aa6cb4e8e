"""Registries of the blocks a method is composed of, and building a block from a mapping of options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from bitwright.binarize.part import LayerShape, Part
from bitwright.binarize.registry import Registry, UnknownNameError

if TYPE_CHECKING:
    from bitwright.binarize.activations import ActivationBinarizer
    from bitwright.binarize.outputs import OutputRule
    from bitwright.binarize.regularizers import Regularizer
    from bitwright.binarize.weights import WeightBinarizer

WEIGHTS: Registry[type[WeightBinarizer]] = Registry("weight binarizer")
ACTIVATIONS: Registry[type[ActivationBinarizer]] = Registry("activation binarizer")
OUTPUTS: Registry[type[OutputRule]] = Registry("output rule")
REGULARIZERS: Registry[type[Regularizer]] = Registry("regulariser")

P = TypeVar("P", bound=Part)


def option_names(cls: type[Part]) -> list[str]:
    """The options of a block's class: what its `__init__` takes besides the layer's shape."""
    return [name for name in inspect.signature(cls).parameters if name != "shape"]


def check_spec(registry: Registry[type[P]], spec: Mapping[str, Any]) -> None:
    """Raises UnknownNameError when `spec["kind"]` or one of its options does not exist."""
    cls = registry.get(spec["kind"])
    known = option_names(cls)
    for option in spec:
        if option != "kind" and option not in known:
            raise UnknownNameError(f"option of {registry.kind} {spec['kind']!r}", option, ["kind", *known])


def build_part(registry: Registry[type[P]], spec: Mapping[str, Any], shape: LayerShape) -> P:
    """The block that `spec` ({"kind": name, option: value}) describes, for a layer of `shape`."""
    check_spec(registry, spec)
    options = {key: value for key, value in spec.items() if key != "kind"}
    return registry.get(spec["kind"])(shape, **options)
