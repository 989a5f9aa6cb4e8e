"""Imports the native engine, or says what to do when it is missing."""

from __future__ import annotations

from typing import Any

__all__ = ["native"]

try:
    from bitwright.runtime import _native as _module  # type: ignore[attr-defined]
except ImportError as error:
    raise ImportError(
        f"the native engine of bitwright is not available ({error}). Install the package with `pip install .` (it "
        "needs a C++17 compiler), or, in a checkout used through PYTHONPATH=src, build it with `cmake -S . -B build/dev"
        " -DBITWRIGHT_DEV_INSTALL=ON && cmake --build build/dev --target install`"
    ) from error

native: Any = _module
