"""The registry of scale rules: from a (normalised) weight in filter form to one positive number per filter,
`[O, 1, ...]`, or one for the layer, `[1, 1, ...]`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bitwright.binarize.registry import Registry

ScaleRule = Callable[[Tensor], Tensor]
SCALES: Registry[ScaleRule] = Registry("scale rule")


def filter_axes(weight: Tensor) -> tuple[int, ...]:
    """The axes of one filter: all but the first."""
    return tuple(range(1, weight.dim()))
