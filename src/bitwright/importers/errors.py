"""What an importer raises."""

from __future__ import annotations


class ImportModelError(ValueError):
    """A file that cannot be imported: the message names the file, the offending node, and what would be right."""
