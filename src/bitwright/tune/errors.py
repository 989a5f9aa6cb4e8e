"""What the tuner raises."""

from __future__ import annotations


class TuneError(ValueError):
    """A problem, configuration, store or budget that is not as it should be; the message says what would be right."""


class WrongResultError(RuntimeError):
    """A candidate computed something else than the reference, or wrote outside its output."""
