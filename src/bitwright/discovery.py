"""Modules found by their place: a block is added by adding its file, and no list is edited."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable


def import_all(package: str, path: Iterable[str]) -> None:
    """Imports every module of a package, by name. A package calls it as `import_all(__name__, __path__)`."""
    for module in sorted(m.name for m in pkgutil.iter_modules(path)):
        importlib.import_module(f"{package}.{module}")
