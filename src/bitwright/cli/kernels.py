"""`bitwright kernels`."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence

from bitwright.cli._command import print_table, run_command


def kernels(*, json: bool = False) -> int:
    """List the native kernels, and which of them this CPU runs. Force one with `--kernel NAME` or BITWRIGHT_KERNEL,
    one of its register tiles with `NAME/TILE`.

    Args:
        json: print JSON instead of a table.
    """
    from bitwright import runtime

    rows = runtime.kernels()
    if json:
        print(json_module.dumps(rows, indent=2))
        return 0

    def mark(default: bool, supported: bool) -> str:
        return "default" if default else "yes" if supported else "no"

    print_table(
        "Native kernels",
        ["name", "operation", "instruction set", "runs here", "tiles", "about"],
        [
            [
                row["name"],
                row["operation"],
                row["isa"],
                mark(row["default"], row["supported"]),
                " ".join(row["tiles"]),
                row["about"],
            ]
            for row in rows
        ],
    )
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        kernels, argv, "  bitwright kernels\n  BITWRIGHT_KERNEL=portable bitwright run net.bwm image.png"
    )
