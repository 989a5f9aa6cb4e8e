"""`bitwright train`."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb: Lightning's typed recipes."""
    from bitwright.train.cli import train_main

    return int(train_main(list(argv)) or 0)
