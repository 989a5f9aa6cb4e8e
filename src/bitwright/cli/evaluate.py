"""`bitwright evaluate`."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    from bitwright.train.cli import evaluate_main

    return int(evaluate_main(list(argv)) or 0)
