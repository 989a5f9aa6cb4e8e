"""CUTLASS's headers for the emulator: its inline PTX becomes calls of cutlass_host.hpp, all else stays as it is.

Only what 1-bit products of sm_80 and later run is replaced, and every replacement must find its text: another version
of CUTLASS fails here instead of computing something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import TuneError

_IF = r"#if defined\(__CUDA_ARCH__\)[^\n]*\n\s*"


@dataclass(frozen=True)
class _Change:
    """A text in a header: a pattern, what it becomes, and how often it must occur at least."""

    file: str
    pattern: str
    becomes: str
    least: int = 1


def _of(kind: str, becomes: str) -> _Change:
    """The body of every constructor of `global_load` or `global_store`."""
    signature = rf"(\b{kind}\(AccessType [^)]*\) \{{)(?:(?!\n  \}}\n).)*?\n  \}}\n"
    return _Change("arch/memory.h", signature, rf"\1 {becomes} }}\n", 4)


_CHANGES = (
    _Change("cutlass.h", r"#if defined\(__CUDA_ARCH__\)", "#if 1", 3),
    _of("global_load", "bw::ptx_load(D, ptr, pred_guard);"),
    _of("global_store", "bw::ptx_store(D, ptr, pred_guard);"),
    _Change(
        "arch/memory_sm75.h",
        r"(ldsm<layout::RowMajor, 4>\([^)]*\) \{\n).*?#if defined\(CUTE_ARCH_LDSM_SM75_ACTIVATED\)"
        r"\s+unsigned addr[^;]*;(\s+int x, y, z, w;\s+)"
        r'asm volatile \("ldmatrix\.sync\.aligned\.x4\.m8n8\.shared\.b16 [^"]*"[^;]*;',
        r"\1\n  #if 1\2bw::ptx_ldmatrix4(x, y, z, w, ptr);",
    ),
    _Change(
        "arch/memory_sm80.h",
        r"\*static_cast<AccessType \*>\(smem_ptr\) = \*static_cast<AccessType const \*>\(global_ptr\);",
        "static_assert(SizeInBytes == 16); bw::m().copy16(smem_ptr, global_ptr);",
        4,
    ),
    _Change(
        "arch/memory_sm80.h",
        r"\*static_cast<AccessType \*>\(smem_ptr\) = zeros;",
        "static_assert(SizeInBytes == 16); bw::m().copy16(smem_ptr, nullptr);",
        2,
    ),
    _Change("arch/memory_sm80.h", r"(void cp_async_fence\(\) \{).*?#endif", r"\1 bw::m().commit();"),
    _Change("arch/memory_sm80.h", r"(void cp_async_wait\(\) \{).*?#endif", r"\1 bw::m().wait(N);"),
    # wait_all: also copies that no group holds yet
    _Change("arch/memory_sm80.h", r"(void cp_async_wait<0>\(\) \{).*?#endif", r"\1 bw::m().commit(), bw::m().wait(0);"),
    *(
        _Change(
            "arch/mma_sm80.h",
            rf'asm volatile\(\s*"mma\.sync\.aligned\.m16n8k256\.[a-z0-9.]*\.{op}\.popc(?:[^;"]|"[^"]*"|;\\n")*?\);\n',
            rf"bw::ptx_mma([](auto& c, auto& a, auto& b) {{ bw::mma_{op}(c, a, b); }}, D, A, B, C);\n",
        )
        for op in ("and", "xor")
    ),
    # blocks run one after the other: what the lock holds is what another block left
    _Change("semaphore.h", rf"{_IF}asm volatile \(\"ld.*?#endif", "state = bw::load(lock);"),
    _Change("semaphore.h", rf"{_IF}asm volatile \(\"st.*?#endif", "bw::store(lock, status);"),
)


def overlay(folder: Path, cutlass: Path) -> Path:
    """Writes changed copies of some headers under `folder`; to be searched before `cutlass`, CUTLASS's include folder.

    Raises:
        TuneError: a text is not where it should be.
    """
    texts: dict[str, str] = {}
    for change in _CHANGES:
        if change.file not in texts:
            texts[change.file] = (cutlass / "cutlass" / change.file).read_text(encoding="utf-8")
        changed, count = re.subn(change.pattern, change.becomes, texts[change.file], flags=re.DOTALL)
        if count < change.least:
            raise TuneError(f"cutlass/{change.file} does not have {change.pattern!r} {change.least} times, but {count}")
        texts[change.file] = changed
    for name, text in texts.items():
        path = folder / "cutlass" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
