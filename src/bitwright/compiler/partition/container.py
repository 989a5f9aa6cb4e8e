"""Writes a `.bwm` file of several parts (docs/bwm.md); `bitwright.runtime.container` reads it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from bitwright.runtime.container import ALIGN, HEADER, KINDS, MAGIC, MAJOR, MANIFEST, MINOR, NATIVE, SECTION


def encode_container(manifest: Mapping[str, Any], parts: Sequence[tuple[str, bytes]]) -> bytes:
    """The bytes of a file.

    Args:
        manifest: as docs/bwm.md lists its keys.
        parts: (kind, content) in the order of the manifest's parts; kinds as there.
    """
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    sections = [(MANIFEST, text), *((KINDS[kind], data) for kind, data in parts)]
    at = HEADER.size + len(sections) * SECTION.size
    table, body = bytearray(), bytearray()
    for kind, data in sections:
        padding = -at % ALIGN
        body += b"\0" * padding + data
        crc = 0 if kind == NATIVE else zlib.crc32(data)
        table += SECTION.pack(kind, crc, at + padding, len(data), 0)
        at += padding + len(data)
    head = HEADER.pack(MAGIC, MAJOR, MINOR, len(sections), at, zlib.crc32(table), 0, b"")
    head = head[:28] + zlib.crc32(head[:28]).to_bytes(4, "little") + head[32:]
    return head + bytes(table) + bytes(body)


__all__ = ["encode_container"]
