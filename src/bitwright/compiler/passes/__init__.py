"""Passes over the program: each file holds one idea, each pass rewrites the program in place and may run alone."""

from __future__ import annotations

from collections.abc import Callable

from ..program import Program
from .fold_thresholds import fold_thresholds
from .fuse import fuse
from .hoist_copies import hoist_copies
from .merge_copies import merge_copies
from .pool_bits import pool_bits
from .prune import prune
from .share_bits import share_bits

Pass = Callable[[Program], None]
PIPELINE: tuple[Pass, ...] = (
    prune,
    merge_copies,
    prune,
    hoist_copies,
    share_bits,
    fuse,
    prune,
    pool_bits,
    prune,
    fold_thresholds,
)

__all__ = [
    "PIPELINE",
    "Pass",
    "fold_thresholds",
    "fuse",
    "hoist_copies",
    "merge_copies",
    "pool_bits",
    "prune",
    "run_passes",
    "share_bits",
]


def run_passes(program: Program) -> None:
    """The pipeline that `compile` runs."""
    for p in PIPELINE:
        p(program)
