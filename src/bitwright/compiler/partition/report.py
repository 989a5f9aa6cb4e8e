"""What `compile` says about a model that runs partly in onnxruntime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..tables import size, table


@dataclass(frozen=True)
class PartReport:
    """One part, in the order in which they run."""

    kind: str  # "native" or "onnxruntime"
    nodes: int
    ops: int  # of a native part
    file_bytes: int
    copies: int  # tensors that other parts hand over to it
    copied_bytes: int | None  # of one sample; None if a size is known only at run time


@dataclass(frozen=True)
class PartitionReport:
    """Where the nodes run, and why."""

    parts: tuple[PartReport, ...]
    places: Mapping[str, int]  # "native", "onnxruntime", "folded" (computed at compile time) -> number of nodes
    reasons: tuple[tuple[str, str, int], ...]  # (operator, why onnxruntime runs it, number of nodes)

    @property
    def boundary_copies(self) -> int:
        """Tensors that a part hands over to another, in one run."""
        return sum(part.copies for part in self.parts)

    @property
    def boundary_bytes(self) -> int | None:
        """Their bytes for one sample; None if a size is known only at run time."""
        known = [part.copied_bytes for part in self.parts]
        return None if None in known else sum(n for n in known if n is not None)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "parts": [vars(part) for part in self.parts],
            "places": dict(self.places),
            "reasons": [{"op": op, "why": why, "nodes": n} for op, why, n in self.reasons],
            "boundary_copies": self.boundary_copies,
            "boundary_bytes": self.boundary_bytes,
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {place}" for place, n in self.places.items() if n)
        copied = "sizes known at run time" if self.boundary_bytes is None else f"{self.boundary_bytes:,} bytes a sample"
        rows = [
            [str(i), p.kind, str(p.nodes), size(p.ops), f"{p.file_bytes:,}", size(p.copies), copied_text(p)]
            for i, p in enumerate(self.parts)
        ]
        return "\n".join(
            [
                f"Nodes: {counts}. {len(self.parts)} parts; {self.boundary_copies} tensors are copied between them "
                f"({copied}).",
                table("Parts", [">#", "runs in", ">nodes", ">ops", ">bytes", ">copied in", ">bytes a sample"], rows),
                *reason_lines(self.reasons),
            ]
        )


def copied_text(part: PartReport) -> str:
    """Bytes that a part takes from others."""
    return "?" if part.copied_bytes is None else size(part.copied_bytes)


def reason_lines(reasons: Sequence[tuple[str, str, int]]) -> list[str]:
    """What runs in onnxruntime and why, one line a reason."""
    lines = ["In onnxruntime:"] if reasons else []
    for op, why, n in reasons:
        lines.append(f"  {op}{f' ({n} nodes)' if n > 1 else ''}: {why}")
    return lines


def reasons_of(nodes: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str, int], ...]:
    """(operator, why, number) of the nodes that onnxruntime runs, the most frequent first."""
    found = Counter((str(n["op"]), str(n["why"])) for n in nodes if n["place"] == "onnxruntime")
    return tuple((op, why, n) for (op, why), n in sorted(found.items(), key=lambda item: (-item[1], item[0])))


__all__ = ["PartReport", "PartitionReport", "reason_lines", "reasons_of"]
