"""The file that is imported, read once."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ImportModelError

if TYPE_CHECKING:
    import onnx


class Source:
    """A file or folder to import; contents are read on first use, so sniffing a large file costs its head only.

    Raises:
        FileNotFoundError: nothing is there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path} does not exist")

    @cached_property
    def head(self) -> bytes:
        """The first 4096 bytes; of a folder: none."""
        if self.path.is_dir():
            return b""
        with self.path.open("rb") as file:
            return file.read(4096)

    @cached_property
    def data(self) -> bytes:
        """The whole file."""
        if self.path.is_dir():
            raise ImportModelError(f"{self.path} is a folder, not a file")
        return self.path.read_bytes()

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        return hashlib.sha256(self.data).hexdigest()

    def metadata(self, format: str) -> dict[str, str]:
        """What an imported model remembers of its file, as ONNX `metadata_props`."""
        return {"import.format": format, "import.file": self.path.name, "import.sha256": self.sha256}

    @cached_property
    def onnx(self) -> onnx.ModelProto | None:
        """The parsed ONNX model (external data loaded), or None for any other file.

        Raises:
            ImportModelError: it is ONNX, but its external data is missing.
        """
        if not self.head or self.head[:1] not in (b"\x08", b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42"):
            return None  # a ModelProto starts with one of its own small fields
        import onnx
        from google.protobuf.message import DecodeError
        from onnx.external_data_helper import load_external_data_for_model

        model = onnx.ModelProto()
        try:
            model.ParseFromString(self.data)
        except DecodeError:
            return None
        if not model.graph.node or not model.opset_import:
            return None
        try:
            load_external_data_for_model(model, str(self.path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ImportModelError(f"{self.path}: {error}") from error
        return model
