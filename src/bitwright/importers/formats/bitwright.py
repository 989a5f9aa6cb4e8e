"""Our own export: ONNX that has `ai.bitwright` nodes already. It passes unchanged."""

from __future__ import annotations

from bitwright.compiler.dialect import DOMAIN, DialectError, read_node

from ..errors import ImportModelError
from ..imported import Imported
from ..options import ImportOptions
from ..registry import register_format
from ..source import Source


def sniff(source: Source) -> bool:
    return source.onnx is not None and any(node.domain == DOMAIN for node in source.onnx.graph.node)


@register_format("bitwright", "ONNX written by bitwright export or import (.onnx)", sniff)
def load(source: Source, options: ImportOptions) -> Imported:
    """The model as it is; its dialect nodes are checked."""
    model = source.onnx
    if model is None:
        raise ImportModelError(f"{source.path} is not an ONNX model")
    for node in model.graph.node:
        if node.domain == DOMAIN:
            try:
                read_node(node)
            except DialectError as error:
                raise ImportModelError(f"{source.path}: {error}") from error
    return Imported(model, "bitwright", str(source.path))
