"""`bitwright inspect`."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence

from bitwright.cli._command import run_command


def inspect(model: str, *, json: bool = False) -> int:
    """Show what a .bwm file holds: layers, precision, shapes, bytes on disk, binary and float MACs, kernels.

    Args:
        model: the .bwm file.
        json: print JSON instead of tables.
    """
    from bitwright import compiler

    report = compiler.inspect(model)
    if json:
        print(json_module.dumps(report.to_dict(), indent=2))
    else:
        report.print()
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(inspect, argv, "  bitwright inspect digits.bwm\n  bitwright inspect digits.bwm --json")
