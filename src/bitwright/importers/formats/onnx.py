"""Plain ONNX: no dialect of anybody; ±1 is only a pattern of values."""

from __future__ import annotations

from ..errors import ImportModelError
from ..imported import Imported
from ..options import ImportOptions
from ..registry import register_format
from ..source import Source

_STANDARD = {"", "ai.onnx", "ai.onnx.ml"}
_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def sniff(source: Source) -> bool:
    return source.onnx is not None and all(node.domain in _STANDARD for node in source.onnx.graph.node)


@register_format("onnx", "plain ONNX (.onnx)", sniff)
def load(source: Source, options: ImportOptions) -> Imported:
    """The model with its binary layers as nodes of the dialect; a model without any as it is."""
    from ..patterns.recognise import rewrite

    model = source.onnx
    title = str(source.path)
    if model is None:
        raise ImportModelError(f"{title} is not an ONNX model")
    if all(node.op_type not in _LAYERS for node in model.graph.node):
        return Imported(model, "onnx", title)
    rewritten, findings = rewrite(model, title, options)
    if rewritten is None:
        return Imported(model, "onnx", title)
    for key, value in source.metadata("onnx").items():
        rewritten.metadata_props.add(key=key, value=value)
    return Imported(rewritten, "onnx", title, findings)
