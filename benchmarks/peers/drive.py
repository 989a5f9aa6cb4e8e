"""Times the same task in several processes in turn (B A C, C A B, …): a change of the machine's speed hits all."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from bitwright.bench.latency import Timing

from .tasks import Task

HERE = Path(__file__).resolve().parent
PAUSE = 0.05  # seconds before a sample


class PeerError(RuntimeError):
    """A peer is not installed or cannot do a task."""


class Entry(NamedTuple):
    """One competitor: a peer's module, its task, the Python that has it installed (None: this one)."""

    peer: str
    task: Task
    python: str | None = None


class Worker:
    """A running peer."""

    def __init__(self, entry: Entry) -> None:
        # One environment for all: libraries read these before they start their threads.
        threads = str(entry.task.get("threads", 1))
        tensorflow = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
        environment = {**os.environ, "OMP_NUM_THREADS": threads, **tensorflow}
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [entry.python or sys.executable, str(HERE / "worker.py"), entry.peer, json.dumps(entry.task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        try:
            answer = self._answer("ready")
            self.first = float(answer["ready"])
            self.resident = int(answer["resident"])  # bytes that the library's task added to the process
        except PeerError as error:
            self.close()
            raise PeerError(f"{entry.peer}, {entry.task['kind']}: {error}") from None

    def _answer(self, key: str) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise PeerError("the process ended: " + self._errors.read()[-2000:].strip())
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        if key not in answer:
            raise PeerError(f"the worker answered {line.strip()!r}, {key!r} is expected")
        return answer

    def sample(self, seconds: float) -> float:
        """Mean seconds a call."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"seconds": seconds}) + "\n")
        self._process.stdin.flush()
        return float(self._answer("mean")["mean"])

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def compete(
    entries: Mapping[str, Entry], rounds: int, missing: dict[str, str], seconds: float = 0.02
) -> dict[str, Timing]:
    """Times the entries in turn, in an order drawn anew for each round.

    Args:
        entries: name -> competitor.
        rounds: samples of each.
        missing: gets name -> reason for a competitor that did not start; the others go on.
        seconds: about how long a sample is.

    Returns:
        name -> Timing of those that ran.
    """
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, entry in entries.items():
            try:
                workers[name] = stack.enter_context(Worker(entry))
            except PeerError as error:
                missing[name] = str(error)
        samples: dict[str, list[float]] = {name: [] for name in workers}
        order = random.Random(0)
        for _ in range(rounds):
            # nobody always follows the same neighbour, whose threads may still spin for a while
            for name in order.sample(list(workers), len(workers)):
                time.sleep(PAUSE)
                samples[name].append(workers[name].sample(seconds))
    return {name: Timing(name, tuple(values)) for name, values in samples.items()}
