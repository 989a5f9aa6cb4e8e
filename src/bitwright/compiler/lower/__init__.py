"""ONNX operators as ops of the program: one function an operator, registered by name. Importing this package
registers them all."""

from __future__ import annotations

from . import binarize, binary, conv, elementwise, join, moves, pool, stack
from .context import REGISTRY, Context, lowers
from .driver import lower

__all__ = [
    "REGISTRY",
    "Context",
    "binarize",
    "binary",
    "conv",
    "elementwise",
    "join",
    "lower",
    "lowers",
    "moves",
    "pool",
    "stack",
]
