"""QONNX: ONNX with the quantizers of QONNX, Brevitas or FINN."""

from __future__ import annotations

from ..errors import ImportModelError
from ..imported import Imported
from ..options import ImportOptions
from ..registry import register_format
from ..source import Source

_DOMAINS = ("qonnx.", "finn.", "onnx.brevitas")
_DIALECT = "ai.bitwright"


def sniff(source: Source) -> bool:
    if source.onnx is None:
        return False
    # protobuf hands a damaged string over as bytes
    domains = {node.domain for node in source.onnx.graph.node if isinstance(node.domain, str)}
    return _DIALECT not in domains and any(domain.startswith(_DOMAINS) for domain in domains)


@register_format("qonnx", "QONNX, FINN and Brevitas exports (.onnx)", sniff)
def load(source: Source, options: ImportOptions) -> Imported:
    """The model in standard operators and nodes of the dialect."""
    from ..patterns.recognise import rewrite
    from ..qonnx import LOWERINGS

    if source.onnx is None:
        raise ImportModelError(f"{source.path} is not an ONNX model")
    title = str(source.path)
    model, findings = rewrite(source.onnx, title, options, LOWERINGS)
    assert model is not None
    for key, value in source.metadata("qonnx").items():
        model.metadata_props.add(key=key, value=value)
    return Imported(model, "qonnx", title, findings)
