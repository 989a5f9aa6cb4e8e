"""Plain ONNX: no dialect of anybody."""

from __future__ import annotations

from ..errors import ImportModelError
from ..imported import Imported
from ..options import ImportOptions
from ..registry import register_format
from ..source import Source

_STANDARD = {"", "ai.onnx", "ai.onnx.ml"}


def sniff(source: Source) -> bool:
    return source.onnx is not None and all(node.domain in _STANDARD for node in source.onnx.graph.node)


@register_format("onnx", "plain ONNX (.onnx)", sniff)
def load(source: Source, options: ImportOptions) -> Imported:
    """The model as it is."""
    if source.onnx is None:
        raise ImportModelError(f"{source.path} is not an ONNX model")
    return Imported(source.onnx, "onnx", str(source.path))
