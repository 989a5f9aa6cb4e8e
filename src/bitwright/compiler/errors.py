"""Errors of the compiler. Each says what was found, where, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CompileError(ValueError):
    """The model cannot be compiled."""


class BwmFormatError(ValueError):
    """A file is not a valid `.bwm` file. The message names the offending field."""


class VerifyError(ValueError):
    """`verify` was given things that do not belong together (a model, a compiled file, inputs)."""


@dataclass(frozen=True)
class Problem:
    """One thing in a model that cannot be compiled."""

    node: str  # name of the ONNX node, or its first output
    op: str  # operator, with its domain
    why: str
    advice: str = ""

    def __str__(self) -> str:
        text = f"{self.op} node {self.node!r}: {self.why}"
        return f"{text} {self.advice}".rstrip()


class UnsupportedModelError(CompileError):
    """The graph holds operators, or uses of operators, that the engine cannot run; `problems` lists all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        head = (
            "the model cannot be compiled:"
            if len(self.problems) == 1
            else f"the model cannot be compiled, {len(self.problems)} problems:"
        )
        super().__init__("\n".join([head, *(f"  - {p}" for p in self.problems)]))


class Unsupported(Exception):
    """Raised by the lowering of one node; the driver collects it into an `UnsupportedModelError`."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.advice = advice
