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
    from ..patterns.graph import ModelGraph
    from ..patterns.recognise import recognise

    model = source.onnx
    title = str(source.path)
    if model is None:
        raise ImportModelError(f"{title} is not an ONNX model")
    plain = Imported(model, "onnx", title)
    if not any(node.op_type in _LAYERS for node in model.graph.node):
        return plain
    graph = ModelGraph(model, title)
    findings = recognise(graph, options)
    if not findings:
        return plain
    result = graph.finish()
    for key, value in source.metadata("onnx").items():
        result.metadata_props.add(key=key, value=value)
    return Imported(result, "onnx", title, findings)
