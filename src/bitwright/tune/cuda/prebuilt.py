"""Compiled kernels that may come with the package, so that a portfolio's kernels need no NVRTC.

`python -m bitwright.tune.cuda.prebuilt results/gpu_sweep.jsonl` compiles the portfolio of measured timings into one
archive, keyed by architecture, flags and the whole source: a kernel that changed since is compiled as ever. The package
ships no archive as long as no GPU was measured. A damaged archive is left out with a warning.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from bitwright.files import write_atomically

from .. import bundled
from ..config import Config
from ..errors import TuneError
from ..portfolio import choose_portfolio
from ..problem import Problem
from ..store import Record
from .conv import Conv2d
from .devices import ARCHITECTURES, model, models
from .families import Build, families
from .families.base import finish_build
from .packing import PackBuild

ARCHIVE = "cubins.zip"
LIMIT = 2 << 20
"""Bytes that an archive may have: a wheel is small."""
ARCHS = ("sm_80", "sm_86", "sm_89", "sm_90a")
FORMAT = 1
_MANIFEST = "manifest.json"


def key_of(source: str, arch: str) -> str:
    """Of a kernel in an archive."""
    return hashlib.sha256(f"{arch}\0{source}".encode()).hexdigest()[:32]


def cubin_of(source: str, arch: str) -> bytes | None:
    """A kernel's machine code, if the package's archive has it."""
    return _archive().get(key_of(source, arch))


@lru_cache(maxsize=1)
def _archive() -> dict[str, bytes]:
    entry = bundled.folder() / ARCHIVE
    try:
        return read(entry.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, TuneError) as error:
        warnings.warn(f"shipped kernels are ignored: {error}", RuntimeWarning, stacklevel=3)
        return {}


def read(data: bytes) -> dict[str, bytes]:
    """The kernels of an archive by key.

    Raises:
        TuneError: damaged, too large, or of another format.
    """
    if len(data) > LIMIT:
        raise TuneError(f"{ARCHIVE} has {len(data)} bytes; at most {LIMIT} are expected")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            manifest = json.loads(archive.read(_MANIFEST))
            if manifest["format"] != FORMAT:
                raise TuneError(f"{ARCHIVE} is of format {manifest['format']!r}; this version reads {FORMAT}")
            found = {name: archive.read(name) for name in manifest["sha256"]}
            wrong = [n for n, c in found.items() if hashlib.sha256(c).hexdigest() != manifest["sha256"][n]]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, NotImplementedError, EOFError, OSError) as error:
        raise TuneError(f"{ARCHIVE} is damaged: {error}") from None
    except Exception as error:  # zlib.error, and what a hostile archive may raise
        if isinstance(error, TuneError):
            raise
        raise TuneError(f"{ARCHIVE} is damaged: {error}") from None
    if wrong:
        raise TuneError(f"{ARCHIVE} is damaged: {wrong[0]} is not what was written")
    return found


def builds_of(configs: Iterable[Config], arch: str) -> list[Build]:
    """What the torch operators load for these configs on an architecture: products and convolutions of bits into
    float32, and packing; of configs that it can build."""
    cc = next(a.cc for a in ARCHITECTURES.values() if a.target == arch)
    device = next(d for d in map(model, models()) if d.number("cc") == cc)
    problems = [
        Problem("gemm", 4096, 4096, 4096, out="f32"),
        Problem("gemm", 16, 4096, 4096, out="f32"),
        Conv2d(32, 28, 28, 128, pad=(1, 1)).problem(128, out="f32"),
    ]
    known = {t.name: t for t in families()}
    found: dict[Build, None] = {}
    for config in configs:
        family = known.get(config.template)
        for problem in problems:
            refusal = None if family is None else getattr(family, "why_never", family.why_invalid)
            if family is None or refusal is None or refusal(config, problem, device) is not None:
                continue
            build = family.build_of(config, problem, device)
            found[build] = None
            if family.launch_of(config, problem).split > 1:
                found[finish_build(problem, build.logic)] = None
    for across in (False, True):
        found[PackBuild("f32", 1, across).build] = None
    return list(found)


def build(configs: Sequence[Config], archs: Sequence[str] = ARCHS) -> bytes:
    """An archive of the kernels of configs.

    Raises:
        TuneError: a kernel cannot be compiled, or the archive has more than `LIMIT` bytes.
    """
    from .compiler import compile_source

    cubins: dict[str, bytes] = {}
    for arch in archs:
        for kernel in builds_of(configs, arch):
            cubins[key_of(kernel.source, arch)] = compile_source(kernel.source, arch)
    out = io.BytesIO()
    manifest = {"format": FORMAT, "sha256": {name: hashlib.sha256(c).hexdigest() for name, c in cubins.items()}}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in [(_MANIFEST, json.dumps(manifest).encode()), *sorted(cubins.items())]:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    data = out.getvalue()
    if len(data) > LIMIT:
        raise TuneError(
            f"{len(cubins)} kernels take {len(data)} bytes; at most {LIMIT} are expected: take fewer configs"
        )
    return data


def portfolio_of(stores: Iterable[Path], size: int = 8) -> tuple[Config, ...]:
    """Of the GPUs' records in exported stores.

    Raises:
        TuneError: there are none.
    """
    lines = [line for path in stores for line in path.read_text(encoding="utf-8").splitlines()]
    own = [record for record in map(Record.from_line, lines) if record.environment.startswith("cuda | ")]
    if not own:
        raise TuneError("no timing of a GPU in these stores: measure first (benchmarks/gpu/run_all.sh)")
    return choose_portfolio(own, size)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bitwright.tune.cuda.prebuilt", description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path, help="exported timings (JSON lines)")
    parser.add_argument("--out", type=Path, default=Path(ARCHIVE))
    parser.add_argument("--arch", nargs="+", default=list(ARCHS))
    parser.add_argument("--size", type=int, default=8, help="configs of the portfolio")
    options = parser.parse_args(argv)
    data = build(portfolio_of(options.stores, options.size), options.arch)
    write_atomically(options.out, data)
    print(f"wrote {len(read(data))} kernels, {len(data)} bytes, to {options.out}")


if __name__ == "__main__":
    main()
