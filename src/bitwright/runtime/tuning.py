"""Kernels chosen by timing, and where the results are kept."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import threading
import warnings
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from bitwright.files import write_atomically
from bitwright.runtime._load import native

__all__ = ["TunableOp", "TunedOp", "TuningCache", "default_cache_path", "machine"]

ENVIRONMENT = "BITWRIGHT_CACHE"
_FORMAT = 2  # 1 had kernels only; its results, all of older builds, are dropped
_MOST_BYTES = 16 << 20  # a file of more is not ours


class Entry(TypedDict):
    """The result of timing one layer: the choice, the time of the standard one over its time, measured again after the
    choice, and the median nanoseconds of each that was timed."""

    kernel: str
    gain: float
    ns: dict[str, int]


_known: dict[tuple[str, str], Entry] = {}  # of this process: (machine, layer)
_lock = threading.Lock()


class TunedOp(TypedDict):
    """What `Session.tune` found out about one op.

    ``standard`` is the kernel that runs without tuning, ``kernel`` the choice: a kernel, perhaps with a register tile,
    and where they differ from the rules the pixels of a work item and the threads, as in
    "bconv_avx512vpopcnt/7x64 pixels=512 threads=1". ``ns`` are the median nanoseconds of those that were timed,
    ``gain`` is the standard time over the chosen one's, measured again after the choice (1 if nothing changed), and
    ``source`` says where it comes from: "measured", "process" (measured before in this process), or "cache" (the file).
    """

    index: int
    name: str
    kind: str
    standard: str
    kernel: str
    gain: float
    ns: dict[str, int]
    source: str


class TunableOp(TypedDict):
    """An op with a choice of kernels: see `Session.tunable`."""

    index: int
    name: str
    kind: str
    kernels: list[str]
    key: str


def default_cache_path() -> Path:
    """The file that keeps tuning results: ``tuning.json`` in ``$BITWRIGHT_CACHE``, or else in the folder ``bitwright``
    of the user's cache (``$XDG_CACHE_HOME``, ``~/.cache``, ``~/Library/Caches``, ``%LOCALAPPDATA%``)."""
    own = os.environ.get(ENVIRONMENT)
    if own:
        return Path(own) / "tuning.json"
    system = platform.system()
    if os.environ.get("XDG_CACHE_HOME"):
        base = Path(os.environ["XDG_CACHE_HOME"])
    elif system == "Windows" and os.environ.get("LOCALAPPDATA"):
        base = Path(os.environ["LOCALAPPDATA"])
    elif system == "Darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "bitwright" / "tuning.json"


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "CPU part"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> str:
    """What a result holds for: the CPU's model, its instruction sets that kernels use, and this build's kernels."""
    kernels = native.kernels()
    isas = sorted({k["isa"] for k in kernels if k["supported"]})
    build = zlib.crc32(json.dumps([(k["name"], k["about"], k["tiles"]) for k in kernels]).encode())
    return f"{_cpu_model()} | {' '.join(isas)} | engine {native.__version__} {build:08x}"


class TuningCache:
    """Results of tuning on this machine: those of this process, and those of a file if one is given.

    A damaged file, or one of another format, is ignored with one warning (of format 1 without) and replaced by the next
    result; entries in it that are not as they should be are dropped. Kernels that cannot run a layer are never taken
    from it: see `get`.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._path = None if path is None else Path(path)
        self._machine = machine()
        self._file = self._read()

    def get(self, layer: str, possible: Iterable[str]) -> tuple[Entry, str] | None:
        """The result for a layer and its source; None if there is none or its kernel is not one of ``possible``."""
        with _lock:
            entry, source = _known.get((self._machine, layer)), "process"
        if entry is None:
            entry, source = self._file.get(self._machine, {}).get(layer), "cache"
        return None if entry is None or not _can_be(entry["kernel"], possible) else (entry, source)

    def put(self, results: Mapping[str, Entry]) -> None:
        """Keeps results in the process and, if there is a file, in it, beside what others wrote there meanwhile."""
        with _lock:
            _known.update({(self._machine, layer): entry for layer, entry in results.items()})
        if self._path is None or not results:
            return
        self._file = self._read(warn=False)
        self._file.setdefault(self._machine, {}).update(results)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps({"format": _FORMAT, "machines": self._file}, indent=1).encode())
        except OSError as error:
            warnings.warn(f"tuning results are not kept: {self._path}: {error}", RuntimeWarning, stacklevel=4)

    def _read(self, warn: bool = True) -> dict[str, dict[str, Entry]]:
        if self._path is None:
            return {}
        try:
            with self._path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
            if len(data) > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES} bytes")
            content = json.loads(data)
            if isinstance(content, dict) and content.get("format") == 1:
                return {}
            if not isinstance(content, dict) or content.get("format") != _FORMAT:
                raise ValueError(f"not a file of tuning results of format {_FORMAT}")
            machines = content.get("machines")
            if not isinstance(machines, dict):
                raise ValueError("no machines")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError) as error:
            if warn:
                warnings.warn(f"the tuning results in {self._path} are ignored: {error}", RuntimeWarning, stacklevel=5)
            return {}
        return {
            name: {layer: entry for layer, entry in layers.items() if _is_entry(entry)}
            for name, layers in machines.items()
            if isinstance(layers, dict)
        }


_SETTINGS = re.compile(r"( pixels=[1-9][0-9]{0,5})?( threads=[1-9][0-9]{0,3})?")


def _can_be(choice: str, kernels: Iterable[str]) -> bool:
    """Whether it is one of the kernels, perhaps with settings."""
    kernel, space, settings = choice.partition(" ")
    return kernel in set(kernels) and _SETTINGS.fullmatch(space + settings) is not None


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and entry.keys() == {"kernel", "gain", "ns"}
        and isinstance(entry["kernel"], str)
        and isinstance(entry["gain"], float | int)
        and not isinstance(entry["gain"], bool)
        and 1 <= entry["gain"] < math.inf
        and isinstance(entry["ns"], dict)
        and all(isinstance(ns, int) and not isinstance(ns, bool) and ns >= 0 for ns in entry["ns"].values())
    )
