"""Numbers of the `.bwm` format, versions 1.0 and 1.1 (docs/bwm.md), shared by the writer and the reader."""

from __future__ import annotations

import struct

MAGIC = b"\x89BWM\r\n\x1a\n"
MAJOR, MINOR = 1, 1  # the newest; a program that uses nothing new is written as 1.0
NONE = 0xFFFFFFFF
HEADER = struct.Struct("<8sHHIQII32s")
SECTION = struct.Struct("<IIQQQ")
VALUE = struct.Struct("<I4IIIIQQ4BIfI")
CONSTANT = struct.Struct("<IIQQQ")
OP_HEADER = struct.Struct("<4I")
GEOMETRY = struct.Struct("<19I")
STEP = struct.Struct("<4I2f2I")
CONV_FIELDS = struct.Struct("<8I")  # then geometry, then u32 zero
POOL_FIELDS = struct.Struct("<6I")  # then geometry, then u32 zero
BPOOL_FIELDS = struct.Struct("<4I")  # then geometry, then u32 zero
MAP_FIELDS = struct.Struct("<2I")
COPY_FIELDS = struct.Struct("<2I4I4I4I2I")
EMBED_FIELDS = struct.Struct("<6I")
ZERO = struct.Struct("<I")
SECTIONS = ("VALUES", "OPS", "CONSTANTS", "DATA", "META")
OPCODES = {"BConv": 1, "FConv": 2, "Pool": 3, "Map": 4, "Copy": 5, "Embed": 6, "BPool": 7, "QConv": 8}
ALIGN = 64
NAME_LIMIT = 4096

assert HEADER.size == VALUE.size == 64
assert SECTION.size == CONSTANT.size == STEP.size == 32
assert GEOMETRY.size == 76


def align(n: int, to: int = ALIGN) -> int:
    """n rounded up to a multiple of `to`."""
    return -(-n // to) * to
