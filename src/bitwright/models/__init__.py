"""Networks by name: `create("resnet18", num_classes=10, stem="cifar", method="reactnet")`. One family a file: every
module of this folder is imported, so that a new file is all that a new network needs."""

from __future__ import annotations

import importlib
import pkgutil

from bitwright.models.registry import (
    Count,
    ModelInfo,
    UnknownModelError,
    create,
    list_models,
    model_info,
    register_model,
)

for _name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_name}")

__all__ = [
    "Count",
    "ModelInfo",
    "UnknownModelError",
    "create",
    "list_models",
    "model_info",
    "register_model",
]
