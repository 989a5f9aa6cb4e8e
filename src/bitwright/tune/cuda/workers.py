"""Kernels compiled by several processes at once, into the cache of compiled kernels.

A worker is `python -m bitwright.tune.cuda.workers`: it reads a build as a line of JSON and answers with a line when it
is done. (Not a pool of `multiprocessing`: that runs the caller's script again in each process.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from .compiler import compile_build
from .families.base import Build

_MOST = 32


class Workers:
    """Processes that compile; started at the first need.

    Args:
        arch: as "sm_90a".
        folder: of the cache, see `compiler.compile_build`.
        count: of processes; by default as many as CPUs that this process may use.
    """

    def __init__(self, arch: str, folder: str | None = None, count: int | None = None) -> None:
        from bitwright.runtime import available_cpus

        self._arch, self._folder = arch, folder
        self._count = min(_MOST, available_cpus() if count is None else count)
        self._running: list[subprocess.Popen[str]] = []

    def compile(self, builds: Sequence[Build]) -> None:
        """Compiles all of them. What fails is not in the cache afterwards: whoever loads it gets the error."""
        if self._count < 2:
            return
        while len(self._running) < min(self._count, len(builds)):
            self._running.append(
                subprocess.Popen(
                    [sys.executable, "-m", __name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            )
        shares = [builds[i :: len(self._running)] for i in range(len(self._running))]
        with contextlib.suppress(OSError):
            for worker, share in zip(self._running, shares, strict=True):
                assert worker.stdin is not None
                worker.stdin.write("".join(self._line(build) for build in share))
                worker.stdin.flush()
            for worker, share in zip(self._running, shares, strict=True):
                assert worker.stdout is not None
                for _ in share:
                    if not worker.stdout.readline():
                        break  # it died; its share is compiled by whoever loads it
        alive = [worker for worker in self._running if worker.poll() is None]
        for worker in self._running:
            if worker not in alive:
                _end(worker)
        self._running = alive

    def _line(self, build: Build) -> str:
        return json.dumps({"build": dataclasses.asdict(build), "arch": self._arch, "folder": self._folder}) + "\n"

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._running:
            _end(worker)
        self._running = []


def _end(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    with contextlib.suppress(OSError):
        worker.stdin.close()
    worker.stdout.close()
    worker.wait()


def main() -> None:
    """A worker: until its input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        values = job["build"]
        build = Build(**{**values, "defines": tuple((str(k), int(v)) for k, v in values["defines"])})
        try:
            compile_build(build, job["arch"], job["folder"])
            print("done", flush=True)
        except Exception:  # whoever loads the kernel gets the error; a worker that ends would leave its share undone
            print("failed", flush=True)


if __name__ == "__main__":
    main()
