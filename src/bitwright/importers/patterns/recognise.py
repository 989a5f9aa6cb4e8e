"""One walk over a model: nodes of foreign domains are lowered, binary layers recognised, all others copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from ..errors import ImportModelError
from ..imported import Finding
from ..options import ImportOptions
from .graph import ModelGraph, node_name
from .layers import Layers
from .signals import Signals

Lowering = Callable[["Walk", onnx.NodeProto], None]


class Walk:
    """What a lowering works with: it emits standard and dialect nodes into `graph`, and may declare `signals`."""

    def __init__(self, graph: ModelGraph, options: ImportOptions) -> None:
        self.graph = graph
        self.signals = Signals(graph)
        self.layers = Layers(graph, self.signals, options)
        self.findings = self.layers.findings
        graph.on_emit = self.signals.visit

    def emit(self, node: onnx.NodeProto) -> None:
        """A standard node: rewritten when it is a binary layer, else as it is."""
        if not self.layers.rewrite(node):
            self.graph.emit(node)


def rewrite(
    model: onnx.ModelProto,
    title: str,
    options: ImportOptions,
    lowerings: Mapping[tuple[str, str], Lowering] | None = None,
) -> tuple[onnx.ModelProto | None, list[Finding]]:
    """The rewritten model and what was understood; no model when nothing was, and no foreign domain is lowered.

    Raises:
        ImportModelError: see `recognise`; also for whatever a damaged file makes onnx or numpy raise.
    """
    try:
        graph = ModelGraph(model, title)
        findings = recognise(graph, options, lowerings)
        return (graph.finish() if findings or lowerings is not None else None), findings
    except ImportModelError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RuntimeError, MemoryError) as error:
        raise ImportModelError(f"{title} is damaged: {type(error).__name__}: {error}") from error


def recognise(
    graph: ModelGraph, options: ImportOptions, lowerings: Mapping[tuple[str, str], Lowering] | None = None
) -> list[Finding]:
    """Emits every node of `graph.source`; returns what was understood.

    Raises:
        ImportModelError: a node of a foreign domain that has no lowering, or a sign that may yield 0.
    """
    walk = Walk(graph, options)
    for node in graph.source:
        lowering = (lowerings or {}).get((node.domain, node.op_type))
        if lowering is not None:
            lowering(walk, node)
        elif lowerings is not None and node.domain not in ("", "ai.onnx.ml"):
            known = sorted({op for domain, op in lowerings if domain == node.domain})
            others = f"of that domain are {', '.join(known)}" if known else "nor is its domain"
            title = f"{node.domain}::{node.op_type}"
            raise ImportModelError(f"{graph.title}: node {node_name(node)!r}: {title} is not supported; {others}")
        else:
            walk.emit(node)
    return walk.findings
