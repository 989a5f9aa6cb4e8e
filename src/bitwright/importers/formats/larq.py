"""Larq Compute Engine, and TensorFlow Lite without Larq's operators."""

from __future__ import annotations

from ..errors import ImportModelError
from ..imported import Imported
from ..options import ImportOptions
from ..registry import register_format
from ..source import Source


def sniff(source: Source) -> bool:
    return source.head[4:8] == b"TFL3"


@register_format("larq", "Larq Compute Engine, TensorFlow Lite (.tflite)", sniff)
def load(source: Source, options: ImportOptions) -> Imported:
    """The model with its own input layout, [N, H, W, C], and a free batch size where its operators allow it."""
    try:
        from ..larq import convert
    except ModuleNotFoundError as error:
        raise ImportModelError(f"{source.path}: reading .tflite needs {error.name}: pip install tflite") from error
    return convert.load(source)
