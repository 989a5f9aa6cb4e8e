"""The text of wgmma's wrapper: a PTX operand list names every accumulator register."""

from __future__ import annotations

from ..errors import TuneError

WIDTHS = (8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256)
"""N of m64nN for 1-bit and 8-bit operands (PTX ISA, "Register fragments and shared memory matrix layouts")."""


KINDS = {"and": "k256.s32.b1.b1.and.popc", "s8": "k32.s32.s8.s8", "u8": "k32.s32.u8.s8"}
"""What the operands are: bits joined by `and`, bytes, unsigned bytes times bytes."""


def wgmma_source(n: int, kind: str = "and") -> str:
    """C++ of `wgmma_<kind>` for m64n`n` and of `wgmma_touch`, which keeps the compiler from moving registers.

    Raises:
        TuneError: the instruction has no such width, or is not of a kind in `KINDS`.
    """
    if kind not in KINDS:
        raise TuneError(f"wgmma of {kind!r} is not used; {', '.join(KINDS)} are")
    if n not in WIDTHS:
        raise TuneError(f"wgmma has no m64n{n}; n is one of {', '.join(map(str, WIDTHS))}")
    registers = n // 2
    names = ", ".join(f"%{i}" for i in range(registers))
    operands = ", ".join(f'"+r"(acc[{i // 4}][{i % 4}])' for i in range(registers))
    touches = " ".join(f'asm volatile("" : "+r"(acc[{i // 4}][{i % 4}])::"memory");' for i in range(registers))
    return f"""
BW_DEVICE void wgmma_{kind}(int (&acc)[{n // 8}][4], u64 a, u64 b) {{
  asm volatile(
      "{{\\n.reg .pred p;\\nsetp.ne.b32 p, 1, 0;\\n"
      "wgmma.mma_async.sync.aligned.m64n{n}{KINDS[kind]} "
      "{{{names}}}, %{registers}, %{registers + 1}, p;\\n}}\\n"
      : {operands}
      : "l"(a), "l"(b));
}}
BW_DEVICE void wgmma_touch(int (&acc)[{n // 8}][4]) {{
  {touches}
}}
"""
