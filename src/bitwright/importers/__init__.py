"""Other frameworks' trained binary networks -> ONNX with `ai.bitwright` nodes, which `bitwright compile` takes.

    import bitwright as bw
    imported = bw.importers.load("quicknet.tflite")   # the format is recognised from the content
    print(imported)                                    # what was understood, pattern by pattern
    imported.save("quicknet.onnx")                     # runs in stock onnxruntime too

A format is one file in `formats/`. Importing this package loads no framework; an importer loads what it needs.
"""

from __future__ import annotations

from .errors import ImportModelError
from .imported import Finding, Imported
from .options import ImportOptions
from .registry import Format, list_formats, load, recognise, register_format
from .source import Source

__all__ = [
    "Finding",
    "Format",
    "ImportModelError",
    "ImportOptions",
    "Imported",
    "Source",
    "list_formats",
    "load",
    "recognise",
    "register_format",
]
