"""What a converter of an operator raises; the driver collects all of them."""

from __future__ import annotations


class Unsupported(Exception):
    """This node cannot be imported exactly. The text continues "node NAME (Op): "."""
