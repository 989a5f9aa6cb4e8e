"""Where timings are kept: JSON lines, one file an environment.

A line is one search: the problem, the families' versions, and *every* sample, so that adding a candidate times only
that candidate, and models can be trained on the store. Lines of another environment are never used and never
overwritten. Writing takes a lock file, reads what others wrote meanwhile, and replaces the file by renaming.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitwright.files import write_atomically

from .config import Config
from .device import Device
from .errors import TuneError
from .history import History
from .problem import Problem

SCHEMA = 1
_LOCK_SECONDS = 20.0
_STALE_SECONDS = 60.0
_MOST_BYTES = 256 << 20
_KEYS = {"schema", "environment", "problem", "versions", "samples", "failures", "date"}
_IMAGES = re.compile(r"\bimages=\d+ ?")


_OPTIONAL = {"warm"}


@dataclass(frozen=True)
class Record:
    """One search. `warm` has samples with operands in the cache, where `history` has them outside of it."""

    environment: str
    problem: Problem
    versions: tuple[tuple[str, int], ...]  # of each template that took part
    history: History
    failures: tuple[tuple[Config, str], ...] = ()
    date: str = ""
    warm: History = field(default_factory=History)

    def to_line(self) -> str:
        """JSON without line breaks; times are whole nanoseconds."""
        failures = [{**config.to_dict(), "why": why} for config, why in self.failures]
        data: dict[str, Any] = {
            "schema": SCHEMA,
            "environment": self.environment,
            "problem": self.problem.to_dict(),
            "versions": dict(self.versions),
            "samples": _lines(self.history),
            "failures": failures,
            "date": self.date,
        }
        if len(self.warm):
            data["warm"] = _lines(self.warm)
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_line(cls, line: str) -> Record:
        """Raises TuneError for anything that `to_line` does not write."""
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TuneError(f"no JSON: {error}") from None
        if not isinstance(data, dict) or data.keys() - _OPTIONAL != _KEYS:
            raise TuneError("not a record of the tuner")
        if data["schema"] != SCHEMA:
            raise TuneError(f"schema {data['schema']!r}; this version reads {SCHEMA}")
        sound = (
            isinstance(data["environment"], str)
            and isinstance(data["date"], str)
            and isinstance(data["versions"], dict)
            and all(isinstance(v, int) for v in data["versions"].values())
            and isinstance(data["samples"], list)
            and isinstance(data["failures"], list)
            and isinstance(data.get("warm", []), list)
        )
        if not sound:
            raise TuneError("a field of another type than the tuner writes")
        return cls(
            data["environment"],
            Problem.from_dict(data["problem"]),
            tuple(sorted(data["versions"].items())),
            _history(data["samples"]),
            tuple((config, str(why)) for config, why in (_entry(entry, "why") for entry in data["failures"])),
            data["date"],
            _history(data.get("warm", [])),
        )


def _lines(history: History) -> list[dict[str, Any]]:
    return [
        {**config.to_dict(), "ns": [round(1e9 * s) for s in seconds]} for config, seconds in history.samples.items()
    ]


def _history(entries: list[Any]) -> History:
    samples = dict(_entry(entry, "ns") for entry in entries)
    if not all(map(_is_timing, samples.values())):
        raise TuneError("samples must be lists of whole nanoseconds")
    return History({config: [n / 1e9 for n in ns] for config, ns in samples.items()})


def _is_timing(ns: object) -> bool:
    return isinstance(ns, list) and bool(ns) and all(type(n) is int and n >= 0 for n in ns)


def _entry(entry: Any, extra: str) -> tuple[Config, Any]:
    if not isinstance(entry, dict) or extra not in entry:
        raise TuneError(f"an entry without {extra!r}")
    return Config.from_dict({k: v for k, v in entry.items() if k != extra}), entry[extra]


class Store:
    """Timings in a folder.

    Args:
        folder: made when first written to; by default `tune` in the user's cache (see
            `bitwright.runtime.tuning.default_cache_path`).

    Damaged lines, and lines of a newer schema, are left out with one warning for a file; they stay in the file.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        if folder is None:
            from bitwright.runtime.tuning import default_cache_path

            folder = default_cache_path().parent / "tune"
        self.folder = Path(folder)

    def path(self, environment: str) -> Path:
        """The file of an environment."""
        return self.folder / f"{hashlib.sha256(environment.encode()).hexdigest()[:16]}.jsonl"

    def records(self, environment: str | None = None) -> list[Record]:
        """All records, or those of one environment, oldest first."""
        paths = sorted(self.folder.glob("*.jsonl")) if environment is None else [self.path(environment)]
        found = [record for path in paths for record in _read(path)]
        return [r for r in found if environment is None or r.environment == environment]

    def put(self, record: Record) -> None:
        """Adds a record.

        Raises:
            TuneError: another process holds the lock for too long.
            OSError: the folder cannot be written.
        """
        self.merge([record])

    def merge(self, records: Iterable[Record]) -> int:
        """Adds those that are not there yet; returns how many."""
        by_path: dict[Path, list[Record]] = {}
        for record in records:
            by_path.setdefault(self.path(record.environment), []).append(record)
        added = 0
        for path, wanted in by_path.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with _lock(path):
                old = path.read_bytes() if path.exists() else b""
                if old and not old.endswith(b"\n"):
                    old += b"\n"
                present = set(old.splitlines())
                lines = [line for line in (r.to_line().encode() for r in wanted) if line not in present]
                lines = list(dict.fromkeys(lines))
                if lines:
                    write_atomically(path, old + b"\n".join(lines) + b"\n")
                added += len(lines)
        return added

    def known(self, problem: Problem, device: Device, versions: Mapping[str, int]) -> History:
        """All samples of a problem's bucket on this device, of these versions of the families."""
        history = History()
        for record in self.records(device.environment):
            if record.problem == problem.bucketed:
                history.add(_current(record, versions).samples)
        return history

    def lookup(
        self, problem: Problem, device: Device, versions: Mapping[str, int], valid: Iterable[Config]
    ) -> Config | None:
        """The fastest known candidate among `valid` ones (see `fastest`)."""
        found = fastest(self.records(device.environment), problem, versions, set(valid).__contains__)
        return None if found is None else found[0]

    def export(self, target: str | os.PathLike[str], environment: str | None = None) -> int:
        """Writes all records (of one environment) into one file; returns how many."""
        records = self.records(environment)
        write_atomically(target, "".join(r.to_line() + "\n" for r in records).encode())
        return len(records)

    def load(self, source: str | os.PathLike[str]) -> int:
        """Adds the records of an exported file; returns how many were new.

        Raises:
            FileNotFoundError: no such file.
            TuneError: a line that is no record; nothing is added then.
        """
        path = Path(source)
        records = []
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            try:
                records.append(Record.from_line(line))
            except TuneError as error:
                raise TuneError(f"{path}, line {number}: {error}") from None
        return self.merge(records)


def fastest(
    records: Sequence[Record], problem: Problem, versions: Mapping[str, int], valid: Callable[[Config], bool]
) -> tuple[Config, Record] | None:
    """The fastest valid candidate that records of one device know for a problem, and where it was measured.

    Without a record of the problem's own bucket, that of the nearest one in M (the same N, K, formats, geometry); of
    equally near ones the newest. None if there is none either: the caller's default serves.
    """
    wanted = problem.bucketed
    asked = _without_m(wanted)
    near: list[tuple[int, int]] = []
    for place, record in enumerate(records):
        if _without_m(record.problem) == asked:
            other = record.problem.m
            near.append((abs(other.bit_length() - wanted.m.bit_length()) * 2 + (other != wanted.m), -place))
    for _, place in sorted(near):
        record = records[-place]
        best = next((config for config in _current(record, versions).ranked() if valid(config)), None)
        if best is not None:
            return best, record
    return None


def _without_m(problem: Problem) -> dict[str, Any]:
    """What must be equal: all but M, and but the images of a convolution, which M counts."""
    data = problem.to_dict() | {"m": 0}
    if problem.op == "conv2d":
        data["detail"] = _IMAGES.sub("", problem.detail)
    return data


def _current(record: Record, versions: Mapping[str, int]) -> History:
    """The samples of families whose version is still the same."""
    then = dict(record.versions)
    fresh = {name for name, version in versions.items() if then.get(name) == version}
    return History({c: s for c, s in record.history.samples.items() if c.template in fresh})


def _read(path: Path) -> list[Record]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TuneError(f"more than {_MOST_BYTES} bytes")
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except (OSError, TuneError) as error:
        warnings.warn(f"the timings in {path} are ignored: {error}", RuntimeWarning, stacklevel=3)
        return []
    records: list[Record] = []
    damaged: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            records.append(Record.from_line(line))
        except TuneError as error:
            damaged.append(f"line {number}: {error}")
    if damaged:
        text = f"{path}: {len(damaged)} lines are ignored, the first is {damaged[0]}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return records


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds `path`.lock; a lock older than a minute belongs to a process that died."""
    lock = path.with_suffix(".lock")
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > _STALE_SECONDS:
                    lock.unlink()
                    continue
            if time.monotonic() > until:
                raise TuneError(f"{lock} is held by another process; remove it if there is none") from None
            time.sleep(0.02)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            lock.unlink()
