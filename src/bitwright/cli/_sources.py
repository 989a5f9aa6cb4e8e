"""What a verb that takes ONNX does with the file it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def onnx_of(path: str, input_shape: list[int] | None = None) -> str | onnx.ModelProto:
    """The path itself of an ONNX file that needs no change; else what it is imported as, which is printed.

    `input_shape` is that of one sample, for formats that do not store it.

    Raises:
        FileNotFoundError, ImportModelError: see `bitwright.importers.load`.
    """
    from bitwright import importers

    shape = None if input_shape is None else tuple(input_shape)
    imported = importers.load(path, options=importers.ImportOptions(input_shape=shape))
    if not imported.findings and imported.format in ("bitwright", "onnx"):
        return path
    print(imported)
    return imported.model
