"""`bitwright methods`."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence

from bitwright.cli._command import print_table, run_command


def methods(*, json: bool = False) -> int:
    """List the binarization methods with their facts: paper, what is binarized, what is learned, how faithful it is.

    Args:
        json: print JSON instead of a table.
    """
    from dataclasses import asdict

    from bitwright import binarize

    infos = binarize.list_methods()
    if json:
        print(json_module.dumps([asdict(info) for info in infos], indent=2, default=str))
        return 0
    print_table(
        "Binarization methods",
        ["name", "paper", "year", "what it does", "learned", "needs epoch", "packable"],
        [
            [i.name, i.title, i.year, i.summary, ", ".join(i.learned), "yes" if i.needs_epoch else "", i.packable]
            for i in infos
        ],
    )
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(methods, argv, "  bitwright methods\n  bitwright methods --json")
