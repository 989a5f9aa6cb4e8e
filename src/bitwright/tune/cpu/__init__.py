"""Families of CPU kernels, and what runs them."""

from __future__ import annotations

from ..template import Template
from .dense import DenseProducts
from .products import EngineProducts
from .runner import CpuRunner

TEMPLATES: tuple[Template, ...] = (EngineProducts(), DenseProducts())
"""All families of matrix products; the dense baseline is one of them."""


def versions() -> dict[str, int]:
    """Version of each family, as the store keys results by."""
    return {template.name: template.version for template in TEMPLATES}


__all__ = ["TEMPLATES", "CpuRunner", "DenseProducts", "EngineProducts", "versions"]
