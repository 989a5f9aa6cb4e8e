"""A set of BNN-PYNQ parameter files: a folder, or a tar archive (plain, .gz, .xz), read without unpacking to disk."""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import ImportModelError
from ..source import Source

_MEMBER = re.compile(r"(?P<layer>\d{1,3})-(?P<pe>\d{1,4})-(?P<kind>weights|thres)\.bin")
_CLASSES = "classes.txt"
_XZ, _GZIP = b"\xfd7zXZ\0", b"\x1f\x8b"
# The real sets have 0.4 to 1.1 MB in at most 300 files; an archive that unpacks to more than this is no such set.
_LIMIT = 64 << 20
_MEMORY_LIMIT = 256 << 20  # of the xz decoder, which a file's header may ask for
_MAX_FILES = 20_000
_DEPTH = 6
_SNIFF = 1 << 16


def is_set(source: Source) -> bool:
    """The folder or archive holds a file called like `0-0-weights.bin`."""
    if source.path.is_dir():
        return any(_is_weights(p.name) for p in _walk(source.path))
    if not (source.head.startswith((_XZ, _GZIP)) or _is_tar(source.head)):
        return False
    try:  # the first names are enough, and cost little
        start = _unpacked(source.head if len(source.head) < 4096 else source.data, _SNIFF, whole=False)
    except ImportModelError:
        return False
    return any(_is_weights(name) for name in _names(start))


def read_set(source: Source) -> dict[str, bytes]:
    """File name to content of all parameter files and `classes.txt`.

    Raises:
        ImportModelError: none are there, two have the same name (several networks in one place), or the archive is
            damaged or unreasonably large.
    """
    found: dict[str, bytes] = {}
    where: dict[str, str] = {}
    entries = _folder(source.path) if source.path.is_dir() else _archive(source)
    for path, content in entries:
        name = path.rsplit("/", 1)[-1]
        if name != _CLASSES and not _MEMBER.fullmatch(name):
            continue
        if name in found:
            raise ImportModelError(
                f"{source.path} holds two files {name} ({where[name]} and {path}); give the folder of one network"
            )
        found[name], where[name] = content, path
    if not any(_is_weights(name) for name in found):
        raise ImportModelError(f"{source.path} holds no BNN-PYNQ parameters: no file like 0-0-weights.bin")
    return found


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return total.hexdigest()


def layers(files: Mapping[str, bytes]) -> dict[tuple[int, str], list[bytes]]:
    """(layer, "weights" or "thres") -> the files of its processing elements, in their order.

    Raises:
        ImportModelError: a processing element is missing.
    """
    found: dict[tuple[int, str], dict[int, bytes]] = {}
    for name, content in files.items():
        if match := _MEMBER.fullmatch(name):
            found.setdefault((int(match["layer"]), match["kind"]), {})[int(match["pe"])] = content
    for (layer, kind), parts in found.items():
        missing = sorted(set(range(max(parts) + 1)) - set(parts))
        if missing:
            raise ImportModelError(
                f"the file {layer}-{missing[0]}-{kind}.bin is missing; {layer}-{max(parts)}-{kind}.bin is there"
            )
    return {key: [parts[pe] for pe in sorted(parts)] for key, parts in found.items()}


def _is_weights(name: str) -> bool:
    match = _MEMBER.fullmatch(name)
    return match is not None and match["kind"] == "weights"


def _walk(folder: Path) -> Iterator[Path]:
    """Files up to a few levels deep, in order of their names; links are not followed."""
    waiting, seen = [(folder, 0)], 0
    while waiting:
        here, depth = waiting.pop()
        try:
            entries = sorted(here.iterdir())
        except OSError:
            continue
        for entry in entries:
            seen += 1
            if seen > _MAX_FILES:
                return
            if entry.is_symlink():
                continue
            if entry.is_file():
                yield entry
            elif entry.is_dir() and depth < _DEPTH:
                waiting.append((entry, depth + 1))


def _folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    for path in _walk(folder):
        if path.name == _CLASSES or _MEMBER.fullmatch(path.name):
            total += path.stat().st_size
            if total > _LIMIT:
                raise ImportModelError(
                    f"{folder} holds over {_LIMIT >> 20} MiB of parameter files; no BNN-PYNQ set does"
                )
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _archive(source: Source) -> Iterator[tuple[str, bytes]]:
    raw = _unpacked(source.data, _LIMIT, whole=True, where=str(source.path))
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count > _MAX_FILES:
                    raise ImportModelError(f"{source.path} holds over {_MAX_FILES} files; no BNN-PYNQ set does")
                if member.isreg() and (file := archive.extractfile(member)) is not None:
                    yield member.name, file.read()
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise ImportModelError(f"{source.path}: the archive is damaged: {error}") from error


def _unpacked(data: bytes, limit: int, *, whole: bool, where: str = "") -> bytes:
    """The tar behind a compression, at most `limit` bytes of it; never more is in memory.

    Raises:
        ImportModelError: damaged, or (`whole`) larger than the limit.
    """
    try:
        if data.startswith(_XZ):
            xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT)
            raw = xz.decompress(data, limit + 1)
            ended = xz.eof
        elif data.startswith(_GZIP):
            gz = zlib.decompressobj(31)
            raw = gz.decompress(data, limit + 1)
            ended = gz.eof
        else:
            raw, ended = data[: limit + 1], True
    except (lzma.LZMAError, zlib.error, EOFError) as error:
        raise ImportModelError(f"{where}: the archive is damaged: {error}") from error
    if whole and len(raw) > limit:
        raise ImportModelError(f"{where} unpacks to over {limit >> 20} MiB; no BNN-PYNQ set does")
    if whole and not ended:
        raise ImportModelError(f"{where}: the archive is damaged: it ends early")
    return raw


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _names(start: bytes) -> Iterator[str]:
    """Names in the beginning of a tar."""
    try:
        with tarfile.open(fileobj=io.BytesIO(start), mode="r:") as archive:
            for member in archive:
                yield member.name.rsplit("/", 1)[-1]
    except (tarfile.TarError, OSError, ValueError, EOFError):
        return
