"""bitwright: train, compare, compile and run 1-bit neural networks.

Importing this package imports neither torch nor onnx: the sub-packages below load on first use, so a device with
numpy alone can run compiled models (`bitwright.runtime`).
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_SUBPACKAGES = (
    "bench",
    "binarize",
    "compiler",
    "data",
    "export",
    "importers",
    "models",
    "nn",
    "optim",
    "report",
    "runtime",
    "train",
    "tune",
)

__all__ = ["__version__", *_SUBPACKAGES]

if TYPE_CHECKING:  # what __getattr__ loads, for type checkers and editors
    from bitwright import bench as bench
    from bitwright import binarize as binarize
    from bitwright import compiler as compiler
    from bitwright import data as data
    from bitwright import export as export
    from bitwright import importers as importers
    from bitwright import models as models
    from bitwright import nn as nn
    from bitwright import optim as optim
    from bitwright import report as report
    from bitwright import runtime as runtime
    from bitwright import train as train
    from bitwright import tune as tune


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"bitwright.{name}")
    raise AttributeError(f"module 'bitwright' has no attribute {name!r}; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
