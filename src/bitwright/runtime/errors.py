"""What can go wrong between a caller and the engine."""

from __future__ import annotations

__all__ = ["InputError", "KernelError", "ModelError"]


class ModelError(ValueError):
    """A ``.bwm`` file that is damaged, truncated, hostile, too large or written by a newer bitwright."""


class InputError(ValueError):
    """An input of the wrong shape, or with impossible content such as an id outside its embedding."""


class KernelError(ValueError):
    """An unknown kernel, or one that this CPU cannot run."""
