"""What `binarize_` did, as data and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ReportRow:
    """One module: `action` is "binary", "kept" or "replaced" (an activation)."""

    name: str
    type: str
    action: str
    reason: str
    method: str


@dataclass(frozen=True)
class BinarizeReport:
    """Every layer that was looked at. `print` shows a table."""

    rows: tuple[ReportRow, ...]
    warnings: tuple[str, ...] = ()

    @property
    def binary(self) -> list[str]:
        """Names of the layers that became binary."""
        return [row.name for row in self.rows if row.action == "binary"]

    @property
    def kept(self) -> list[str]:
        """Names of the layers that stayed float."""
        return [row.name for row in self.rows if row.action == "kept"]

    @property
    def replaced(self) -> list[str]:
        """Names of the activations that were replaced."""
        return [row.name for row in self.rows if row.action == "replaced"]

    def __str__(self) -> str:
        body = [[row.name, row.type, row.action, row.method, row.reason] for row in self.rows]
        text = text_table(["layer", "type", "action", "by", "why"], body)
        return "\n".join([text, *(f"warning: {w}" for w in self.warnings)])


def text_table(header: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A plain table; columns in `right` are aligned to the right."""
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), "  ".join("-" * w for w in widths), *(line(row) for row in body)])
