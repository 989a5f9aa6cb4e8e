"""What `verify` found, as tables and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from .checks import TOLERANCE, ValueCheck
from .tables import size, table
from .verify_quantized import SourceAgreement


@dataclass(frozen=True)
class Disagreement:
    """An input whose argmax differs between the engine and the reference."""

    sample: int
    output: str
    engine: int
    reference: int
    explained: bool
    why: str


@dataclass
class VerifyReport:
    """What `verify` found. `ok` says whether the contract holds."""

    model: str
    bwm: str
    reference: str
    kernel: str
    threads: int
    samples: int = 0
    values: list[ValueCheck] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)  # values the reference does not know
    outputs_equal: int = 0  # inputs whose outputs are equal in every bit
    argmax_equal: int = 0
    max_output_error: float = 0.0  # whole network, relative to the output's spread
    disagreements: list[Disagreement] = field(default_factory=list)
    source: SourceAgreement | None = None  # of a quantized file, which is judged by its own integer reference

    @property
    def flips(self) -> int:
        return sum(v.flips for v in self.values)

    @property
    def bugs(self) -> int:
        return sum(v.bugs for v in self.values) + sum(not d.explained for d in self.disagreements)

    @property
    def agreement(self) -> float:
        """Share of inputs whose argmax is equal."""
        return self.argmax_equal / self.samples if self.samples else 0.0

    @property
    def ok(self) -> bool:
        """No bug in any layer, every disagreement explained, and at most 0.1 % (or one) of the inputs disagree."""
        allowed = max(1, self.samples // 1000)
        return self.samples > 0 and self.bugs == 0 and self.samples - self.argmax_equal <= allowed

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        own = {k: v for k, v in asdict(self).items() if k not in ("values", "source")}
        if self.source is not None:
            own["source"] = self.source.to_dict()
        summary = {"ok": self.ok, "bugs": self.bugs, "flips": self.flips, "agreement": self.agreement}
        return {**own, **summary, "tolerance": TOLERANCE, "values": [v.to_dict() for v in self.values]}

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        rows = []
        for v in self.values:
            floats = v.dtype == "f32" and (self.source is None or v.max_error > 0)
            detail = f"{v.max_error:.1e}" if floats else f"{v.flips} flips" if v.flips else "equal"
            if v.flips:
                detail += f", farthest {v.max_distance:.1e}"
            integers = "" if not v.integers else "equal" if not v.integer_errors else f"{v.integer_errors} wrong"
            share = "-" if not v.compared else f"{100 * v.equal / v.compared:.4f} %"
            rows.append(
                [
                    str(v.op),
                    v.name,
                    v.kind,
                    v.dtype,
                    size(v.compared),
                    share,
                    integers,
                    detail,
                    "ok" if v.ok else f"BUG ({v.bugs})",
                ]
            )
        columns = [">#", "layer", "op", "value", ">elements", ">identical", "integers", "error / flips", "verdict"]
        lines = [
            table(
                f"{self.bwm} against {self._judge()}, {self.samples:,} inputs, each layer on the reference's inputs",
                columns,
                rows,
            ),
            f"Whole network: argmax equal on {self.argmax_equal:,} of {self.samples:,} ({100 * self.agreement:.3f} %), "
            f"outputs identical on {self.outputs_equal:,}, "
            f"largest difference {self.max_output_error:.1e} of the spread.",
        ]
        for d in self.disagreements[:20]:
            verdict = "explained" if d.explained else "NOT explained"
            lines.append(f"  input {d.sample}: engine {d.engine}, reference {d.reference}: {verdict}, {d.why}")
        if len(self.disagreements) > 20:
            lines.append(f"  ... and {len(self.disagreements) - 20} more")
        if self.source is not None:
            lines.append(str(self.source))
        if self.not_compared:
            lines.append(f"Not compared, because the reference does not know them: {', '.join(self.not_compared)}.")
        lines.append(f"Verdict: {'ok' if self.ok else f'NOT ok ({self.bugs} bugs)'}; {self.flips} bits flipped.")
        return "\n".join(lines)

    def _judge(self) -> str:
        return self.reference if self.source is None else "its integer reference (quantized file)"

    def print(self) -> None:
        """Prints the tables."""
        print(str(self))


__all__ = ["Disagreement", "VerifyReport"]
