"""`bitwright compile`."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.cli._command import run_command


def compile(model: str, *, output: str) -> int:
    """Compile ONNX to a .bwm file: fold batch norm into thresholds, fuse epilogues, plan memory, pack weights.

    Args:
        model: the .onnx file.
        output: the .bwm file to write.
    """
    from bitwright import compiler

    report = compiler.compile(model, output)
    print(report)
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(compile, argv, "  bitwright compile digits.onnx --output digits.bwm")
