"""What a `Session.run` does first while an auto-tuner is active in this thread or task."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitwright.runtime.session import Session

Tuner = Callable[["Session", int], None]
"""Gets the session and the batch of a run that is about to start."""

ACTIVE: ContextVar[Tuner | None] = ContextVar("bitwright.tuner", default=None)
