"""`bitwright models`."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence

from bitwright.cli._command import print_table, run_command


def models(*, json: bool = False) -> int:
    """List the networks with their facts: paper, input, parameters, binary weights.

    Args:
        json: print JSON instead of a table.
    """
    from dataclasses import asdict

    from bitwright import models as zoo

    infos = [zoo.model_info(name) for name in zoo.list_models()]
    if json:
        print(json_module.dumps([asdict(info) for info in infos], indent=2, default=str))
        return 0
    print_table(
        "Networks",
        ["name", "summary", "paper", "year"],
        [[info.name, info.summary, info.paper, info.year] for info in infos],
    )
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(models, argv, "  bitwright models\n  bitwright models --json")
