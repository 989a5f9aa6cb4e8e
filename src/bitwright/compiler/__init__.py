"""ONNX -> `.bwm`: compile, look inside, and compare with the source.

    import bitwright as bw
    bw.compiler.compile("net.onnx", "net.bwm")
    print(bw.compiler.inspect("net.bwm"))
    print(bw.compiler.verify("net.onnx", "net.bwm", images))

Importing this package imports neither onnx nor torch; the names below load what they need on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compilation import CompileReport, build, compile
    from .errors import BwmFormatError, CompileError, Problem, UnsupportedModelError, VerifyError
    from .inspection import Inspection, inspect
    from .qonnx import to_qonnx
    from .verification import Verifier, verify
    from .verify_report import VerifyReport

_HOME = {
    "CompileReport": "compilation",
    "build": "compilation",
    "compile": "compilation",
    "BwmFormatError": "errors",
    "CompileError": "errors",
    "Problem": "errors",
    "UnsupportedModelError": "errors",
    "VerifyError": "errors",
    "Inspection": "inspection",
    "inspect": "inspection",
    "to_qonnx": "qonnx",
    "Verifier": "verification",
    "VerifyReport": "verify_report",
    "verify": "verification",
}

__all__ = [
    "BwmFormatError",
    "CompileError",
    "CompileReport",
    "Inspection",
    "Problem",
    "UnsupportedModelError",
    "Verifier",
    "VerifyError",
    "VerifyReport",
    "build",
    "compile",
    "inspect",
    "to_qonnx",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__all__)}") from None


def __dir__() -> list[str]:
    return sorted(__all__)
