"""What a compiled kernel holds: machine instructions counted by kind, registers, local memory.

Read from the ELF file (cubin) itself: instructions from sm_70 on are 16 bytes whose lowest 9 bits are the opcode. The
opcodes were compared with nvdisasm's listings (docs/develop/gpu.md). So no disassembler is needed.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..errors import TuneError

OPCODES = {
    "BMMA": 0x03D,
    "IMMA": 0x037,
    "HMMA": 0x03C,
    "BGMMA": 0x1F2,
    "IGMMA": 0x1F1,
    "LDSM": 0x03B,
    "LDGSTS": 0x1AE,
    "POPC": 0x109,
    "LDL": 0x183,
    "STL": 0x187,
}
"""Lowest 9 bits: 1-bit, 8-bit and half products, the warpgroup's 1-bit and 8-bit products, ldmatrix, cp.async,
popcount, and loads and stores of local memory (spills)."""


@dataclass(frozen=True)
class Machine:
    """One kernel's machine code.

    Attributes:
        name: of the kernel.
        registers: of a thread.
        instructions: how often each kind of `OPCODES` occurs in the code; "all": of any kind.
    """

    name: str
    registers: int
    instructions: Counter[str]

    @property
    def spills(self) -> int:
        """Loads and stores of local memory."""
        return self.instructions["LDL"] + self.instructions["STL"]


def machine_code(cubin: bytes) -> list[Machine]:
    """The kernels of a cubin.

    Raises:
        TuneError: not a 64-bit ELF file, or damaged.
    """
    if cubin[:5] != b"\x7fELF\x02":
        raise TuneError("not a cubin: no 64-bit ELF file")
    try:
        return _kernels(cubin)
    except (struct.error, LookupError, ValueError) as error:
        raise TuneError(f"a damaged cubin: {error}") from None


def _kernels(cubin: bytes) -> list[Machine]:
    (table,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names = struct.unpack_from("<HHH", cubin, 58)
    # name, type, flags, address, offset, size, link, info
    sections = [struct.unpack_from("<IIQQQQII", cubin, table + i * size) for i in range(count)]
    by_name = {_text(cubin, sections[names][4] + section[0]): section for section in sections}
    registers = _registers(cubin, by_name)
    found = []
    for name, (_, _, _, _, offset, length, _, _) in by_name.items():
        kernel = name.removeprefix(".text.")
        if kernel == name or length == 0:
            continue
        words = np.frombuffer(cubin, "<u8", length // 8, offset)[::2]
        opcodes = Counter((words & 0x1FF).tolist())
        counted = Counter({kind: opcodes[code] for kind, code in OPCODES.items() if opcodes[code]})
        counted["all"] = len(words)
        found.append(Machine(kernel, registers[kernel], counted))
    return found


def _text(cubin: bytes, start: int) -> str:
    return cubin[start : cubin.index(b"\0", start)].decode()


def _registers(cubin: bytes, sections: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Registers by kernel: attribute 0x2f of the section .nv.info, by symbol."""
    symbols, strings, notes = (sections[name] for name in (".symtab", ".strtab", ".nv.info"))
    found = {}
    at, end = notes[4], notes[4] + notes[5]
    while at < end:
        form, attribute, length = struct.unpack_from("<BBH", cubin, at)
        if form == 4 and attribute == 0x2F:
            symbol, number = struct.unpack_from("<II", cubin, at + 4)
            (name,) = struct.unpack_from("<I", cubin, symbols[4] + 24 * symbol)
            found[_text(cubin, strings[4] + name)] = number
        at += 4 + (length if form == 4 else 0)  # other forms hold their value in place of the length
    return found
