"""Where data sets lie, and how a missing file is fetched, checked and put in place."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "BITWRIGHT_DATA"


class DataError(RuntimeError):
    """A data set is missing, cannot be fetched, or is damaged. The message says what to put where."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set: its name, its checksum, and where it can be had.

    Attributes:
        name: file name inside the data set's folder.
        checksum: `md5:<hex>` or `sha256:<hex>` of the whole file, as published.
        urls: tried in order; empty if there is no official download.
    """

    name: str
    checksum: str
    urls: tuple[str, ...] = ()


def cache_dir() -> Path:
    """The user's cache folder for data sets (XDG_CACHE_HOME, else ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "bitwright" / "data"


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder that holds one sub-folder a data set: `root`, else $BITWRIGHT_DATA, else the user's cache."""
    if root is not None:
        return Path(root)
    environment = os.environ.get(ENVIRONMENT)
    return Path(environment) if environment else cache_dir()


def file_checksum(path: Path, algorithm: str) -> str:
    """Hex digest of a file; `algorithm` is a name that hashlib knows."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def check(path: Path, file: RemoteFile) -> None:
    """Compares a file's checksum with the published one.

    Raises:
        DataError: they differ.
    """
    algorithm, _, expected = file.checksum.partition(":")
    actual = file_checksum(path, algorithm)
    if actual != expected:
        raise DataError(
            f"{path} is damaged or not the official file: its {algorithm} is {actual}, expected {expected}. "
            f"Delete it and run again{' to download it' if file.urls else ''}."
        )


def fetch(folder: Path, file: RemoteFile, what: str) -> Path:
    """The path of `file` in `folder`, downloaded first if it is missing. Its checksum is verified either way.

    A download goes to a temporary file beside its place and is renamed into it only after its checksum was verified, so
    that a broken connection or two runs at once never leave half a file under the final name.

    Raises:
        DataError: missing and not to be had, or damaged.
    """
    path = folder / file.name
    if not path.exists():
        _download(path, file, what)
    else:
        check(path, file)
    return path


def _download(path: Path, file: RemoteFile, what: str) -> None:
    missing = f"{what}: {path} is missing"
    checksum = file.checksum.replace(":", " ")
    put = (
        f"put {file.name} ({checksum}) into {path.parent}, or point --data-root or ${ENVIRONMENT} at a folder "
        f"that holds {path.parent.name}/{file.name}."
    )
    if not file.urls:
        raise DataError(f"{missing} and has no official download; {put}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=path.parent)
    except OSError as error:
        raise DataError(f"{missing} and {path.parent} cannot be written ({error.strerror}); {put}") from error
    temporary = Path(name)
    os.close(handle)
    try:
        problems = []
        for url in file.urls:
            try:
                request = urllib.request.Request(url, headers={"User-Agent": "bitwright"})
                with urllib.request.urlopen(request, timeout=60) as response, temporary.open("wb") as out:
                    shutil.copyfileobj(response, out)
                check(temporary, file)
            except (OSError, urllib.error.URLError) as error:
                problems.append(f"{url}: {getattr(error, 'reason', None) or error}")
            except DataError:
                problems.append(f"{url}: what came does not match {checksum}")
            else:
                temporary.chmod(0o644)  # mkstemp makes it private
                temporary.replace(path)
                return
        raise DataError(f"{missing} and could not be downloaded ({'; '.join(problems)}); {put}")
    finally:
        temporary.unlink(missing_ok=True)
