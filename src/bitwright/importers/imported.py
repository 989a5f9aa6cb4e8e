"""The result of an import: the model, and what was understood of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitwright.files import write_atomically

from .errors import ImportModelError

if TYPE_CHECKING:
    import onnx

INPUT_KEY = "bitwright.input"
"""Metadata key of a model: how images become its input, as JSON."""
_PROTOBUF_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Finding:
    """One node of the source file (or several that form one pattern) and what it became."""

    node: str  # the source's name of the node, or of the pattern's last node
    was: str  # operator or pattern in the source's words, e.g. "LceBconv2d, padding same-one"
    became: str  # e.g. "BinaryConv 3x3, 64 -> 128"
    note: str = ""  # what a reader must know: an assumption proven, a value made explicit


@dataclass
class Imported:
    """An imported model.

    Attributes:
        model: ONNX `ModelProto`: standard operators, and `ai.bitwright` nodes with packed weights and function bodies.
        format: registry name of the format.
        source: the file.
        findings: what each binary pattern was understood as, in the order of the graph.
        warnings: what may differ from the home framework, one sentence each; usually empty.
    """

    model: onnx.ModelProto
    format: str
    source: str
    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def describe_images(
        self, mean: Sequence[float] = (), std: Sequence[float] = (), classes: Sequence[str] = ()
    ) -> None:
        """Stores in the model how images become its input, (pixel / 255 - mean) / std, and what its classes are called:
        `bitwright run` reads it. `mean` and `std` have one number a channel.

        Raises:
            ValueError: mean and std have different lengths, or a deviation is not above 0.
        """
        if len(mean) != len(std) or any(not s > 0 for s in std):
            raise ValueError(f"mean and std need as many numbers, std above 0; got {list(mean)} and {list(std)}")
        facts: dict[str, Any] = {"mean": list(mean), "std": list(std)} if mean else {}
        kept = [p for p in self.model.metadata_props if p.key == INPUT_KEY]
        for prop in kept:
            facts = json.loads(prop.value) | facts
            self.model.metadata_props.remove(prop)
        self.model.metadata_props.add(
            key=INPUT_KEY, value=json.dumps(facts | ({"classes": list(classes)} if classes else {}))
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the ONNX file; it appears whole or not at all.

        Raises:
            ImportModelError: the model is larger than a protobuf file can be (2 GiB).
        """
        if self.model.ByteSize() > _PROTOBUF_LIMIT:
            raise ImportModelError(f"{self.source}: the imported model has over 2 GiB, more than one ONNX file holds")
        write_atomically(path, self.model.SerializeToString())
        return Path(path)

    def nodes(self) -> dict[str, int]:
        """How many nodes of each operator the model has; operators of a domain as `domain::Op`."""
        titles = (f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in self.model.graph.node)
        return dict(sorted(Counter(titles).items()))

    def __str__(self) -> str:
        lines = [f"{self.source}: {self.format}, {len(self.model.graph.node)} nodes after the import"]
        width = max((len(f.node) for f in self.findings), default=0)
        for found in self.findings:
            note = f"  ({found.note})" if found.note else ""
            lines.append(f"  {found.node:<{width}}  {found.was} -> {found.became}{note}")
        lines.append("  operators: " + ", ".join(f"{count} {title}" for title, count in self.nodes().items()))
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join(lines)
