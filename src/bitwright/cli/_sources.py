"""What a verb that takes ONNX does with the file it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def onnx_of(path: str) -> str | onnx.ModelProto:
    """The path itself of an ONNX file that needs no change; else what it is imported as, which is printed.

    Raises:
        FileNotFoundError, ImportModelError: see `bitwright.importers.load`.
    """
    from bitwright import importers

    imported = importers.load(path)
    if not imported.findings and imported.format in ("bitwright", "onnx"):
        return path
    print(imported)
    return imported.model
