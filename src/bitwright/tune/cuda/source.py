"""Kernel sources: one text a build, with every header in place, so that it is its own cache key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ..errors import TuneError
from .wgmma import wgmma_source

KERNELS = Path(__file__).parent / "kernels"
_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)


@lru_cache(maxsize=64)
def _file(name: str) -> str:
    try:
        return (KERNELS / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TuneError(f"no kernel source {name!r} in {KERNELS}") from None


def _inlined(name: str, seen: set[str], generated: Mapping[str, str]) -> str:
    if name in seen:
        return ""
    seen.add(name)
    text = generated[name] if name in generated else _file(name)
    text = text.replace("#pragma once\n", "")
    return _INCLUDE.sub(lambda found: _inlined(found[1], seen, generated), text)


def source_of(kernel: str, defines: Mapping[str, int]) -> str:
    """The whole source of `kernels/<kernel>.cuh` with its parameters `BW_<NAME>` defined at the top.

    Raises:
        TuneError: no such kernel.
    """
    n = defines.get("wgmma_n")
    kind = "and" if kernel == "wgmma_b1" else "u8" if defines.get("unsigned") else "s8"
    generated = {"wgmma_generated.cuh": wgmma_source(n, kind) if n is not None else ""}
    head = "".join(f"#define BW_{name.upper()} {value}\n" for name, value in sorted(defines.items()))
    return head + _inlined(f"{kernel}.cuh", set(), generated)
