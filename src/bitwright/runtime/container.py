"""Reads a `.bwm` file of several parts (docs/bwm.md, "Files with parts for onnxruntime"). It trusts nothing in it."""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bitwright.runtime.errors import ModelError

__all__ = ["HEADER", "MAGIC", "SECTION", "Container", "Section", "is_container", "read_container"]

MAGIC = b"\x89BWP\r\n\x1a\n"
MAJOR, MINOR = 1, 0
HEADER = struct.Struct("<8sHHIQII32s")  # magic, version, sections, file size, CRC of the table, of this, zero
SECTION = struct.Struct("<IIQQQ")  # kind, CRC, offset, size, zero
ALIGN = 64
MANIFEST, NATIVE, ONNX = 1, 2, 3
KINDS = {"native": NATIVE, "onnxruntime": ONNX}
MOST_PARTS = 4096
MOST_NAME = 4096
DTYPES = (
    "float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool",
    "str",
)  # fmt: skip


class Section(NamedTuple):
    """Where a part lies in the file."""

    kind: int
    offset: int
    size: int


class Container:
    """A checked file: its manifest, and where its parts lie."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.file_bytes = len(data)
        sections = self._sections()
        self.parts = sections[1:]
        self.manifest = self._manifest(sections[0])

    def bytes_of(self, part: int) -> bytes:
        """The content of a part."""
        section = self.parts[part]
        return bytes(self._data[section.offset : section.offset + section.size])

    def _sections(self) -> list[Section]:
        data, size = self._data, len(self._data)
        _check(size >= HEADER.size, f"truncated: a header has {HEADER.size} bytes, the file has {size}")
        magic, major, minor, count, said, table_crc, crc, zero = HEADER.unpack_from(data)
        _check(magic == MAGIC, "it does not begin with the magic number of a file with several parts")
        _check(zlib.crc32(data[:28]) == crc, "damaged: the header's checksum is wrong")
        if major != MAJOR or minor > MINOR:
            raise ModelError(
                f"written by a newer bitwright (container version {major}.{minor}; this one reads {MAJOR}.{MINOR})"
            )
        _check(said == size, f"{'truncated' if said > size else 'damaged'}: header says {said} bytes, not {size}")
        _check(not any(zero), "a reserved field of the header is not zero")
        _check(2 <= count <= MOST_PARTS + 1, f"{count} sections; 2 to {MOST_PARTS + 1} are possible")
        end = HEADER.size + count * SECTION.size
        _check(end <= size, f"truncated: the section table ends at byte {end}, the file has {size}")
        _check(zlib.crc32(data[HEADER.size : end]) == table_crc, "damaged: the section table's checksum is wrong")
        sections: list[Section] = []
        for i in range(count):
            kind, crc, offset, length, zero = SECTION.unpack_from(data, HEADER.size + i * SECTION.size)
            kinds = (MANIFEST,) if i == 0 else (NATIVE, ONNX)
            _check(kind in kinds and zero == 0, f"section {i} has kind {kind}")
            begin = -(-end // ALIGN) * ALIGN
            _check(offset == begin, f"section {i} begins at {offset}; {begin} is expected")
            _check(length > 0 and offset + length <= size, f"section {i} leaves the file")
            _check(not any(data[end:offset]), f"the bytes before section {i} are not zero")
            # a native part has checksums of its own, which the engine verifies
            right = 0 if kind == NATIVE else zlib.crc32(data[offset : offset + length])
            _check(crc == right, f"damaged: the checksum of section {i} is wrong")
            sections.append(Section(kind, offset, length))
            end = offset + length
        _check(end == size, f"there are {size - end} bytes after the last section")
        return sections

    def _manifest(self, section: Section) -> dict[str, Any]:
        try:
            manifest = json.loads(bytes(self._data[section.offset : section.offset + section.size]).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the manifest cannot be read: {error}") from None
        _check(isinstance(manifest, dict) and manifest.get("format") == 1, "the manifest is not of format 1")
        parts = manifest.get("parts")
        _check(isinstance(parts, list) and len(parts) == len(self.parts), "the manifest describes other parts")
        tensors = manifest.get("tensors")
        _check(isinstance(tensors, dict), "the manifest lists no tensors")
        for name, facts in tensors.items():
            _check(0 < len(name) <= MOST_NAME and _is_tensor(facts), f"the manifest's tensor {name[:80]!r} is wrong")
        there = set(_names(manifest, "inputs", tensors))
        for i, (part, own) in enumerate(zip(parts, self.parts, strict=True)):
            _check(
                isinstance(part, dict) and KINDS.get(str(part.get("kind"))) == own.kind, f"part {i} is of another kind"
            )
            _check(isinstance(part.get("optimize", True), bool), f"part {i}: 'optimize' is not true or false")
            missing = [n for n in _names(part, "inputs", tensors) if n not in there]
            _check(not missing, f"part {i} reads {missing[:3]}, which no earlier part computes")
            outputs = _names(part, "outputs", tensors)
            again = [n for n in outputs if n in there]
            _check(bool(outputs) and not again, f"part {i} computes {again[:3] or 'nothing'}")
            there.update(outputs)
            _check(isinstance(part.get("nodes"), list), f"part {i} lists no nodes")
        outputs = _names(manifest, "outputs", tensors)
        _check(bool(outputs) and set(outputs) <= there, "the model returns tensors that no part computes")
        return dict(manifest)


def _check(condition: bool, what: str) -> None:
    if not condition:
        raise ModelError(f"not a valid .bwm file with several parts: {what}")


def _is_tensor(facts: Any) -> bool:
    if not isinstance(facts, dict):
        return False
    if "type" in facts:  # a sequence or map, between parts of onnxruntime
        return isinstance(facts["type"], str)
    shape = facts.get("shape")
    sizes = shape is None or (isinstance(shape, list) and all(_is_size(n) for n in shape))
    return facts.get("dtype") in DTYPES and sizes


def _is_size(n: Any) -> bool:
    return n is None or isinstance(n, str) or (isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**48)


def _names(owner: Mapping[str, Any], key: str, tensors: Mapping[str, Any]) -> list[str]:
    names = owner.get(key)
    good = isinstance(names, list) and all(isinstance(n, str) and n in tensors for n in names)
    _check(good, f"{key!r} is no list of known tensors")
    assert isinstance(names, list)
    _check(len(set(names)) == len(names) or key == "outputs", f"{key!r} names a tensor twice")
    return names


def is_container(model: str | os.PathLike[str] | bytes | bytearray | memoryview) -> bool:
    """Whether a file, or its bytes, is a model of several parts. A file that cannot be read is none."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model[:8]) == MAGIC
    try:
        with open(model, "rb") as file:
            return file.read(8) == MAGIC
    except OSError:
        return False


def read_container(model: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Container:
    """Reads and checks a file, or its bytes.

    Raises:
        ModelError: it is damaged, truncated, hostile or newer.
        OSError: it cannot be read.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Container(memoryview(bytes(model)))
    with open(Path(model), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    try:
        return Container(memoryview(view))
    except ModelError as error:
        raise ModelError(f"{os.fspath(model)}: {error}") from None
