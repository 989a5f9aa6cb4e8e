"""Networks by name: `create("resnet18", num_classes=10, stem="cifar", method="reactnet")`. One family a file: every
module of this folder is imported, so that a new file is all that a new network needs."""

from __future__ import annotations

from bitwright.discovery import import_all
from bitwright.models.registry import (
    Count,
    ModelInfo,
    UnknownModelError,
    create,
    list_models,
    model_info,
    register_model,
)

import_all(__name__, __path__)

__all__ = [
    "Count",
    "ModelInfo",
    "UnknownModelError",
    "create",
    "list_models",
    "model_info",
    "register_model",
]
