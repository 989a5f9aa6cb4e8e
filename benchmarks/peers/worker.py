"""A peer's process: reads commands from standard input, answers on standard output, one JSON object a line.

    python worker.py PEER TASK_JSON

First line out: {"ready": seconds of the first calls, "resident": bytes of memory that the task took} or {"error":
text}. Then each line in, {"seconds": s}, repeats the task for about s seconds and answers {"mean": seconds a call}.
What libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable


def timed(run: Callable[[], float | None], seconds: float) -> float:
    """Mean seconds a call over about `seconds`, after calls for an eighth of it: sleeping threads wake, which takes a
    virtual CPU a millisecond."""
    start = time.perf_counter()
    run()
    while time.perf_counter() - start < seconds / 8:
        run()
    total = 0.0
    calls = 0
    start = time.perf_counter()
    while calls == 0 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        own = run()
        total += time.perf_counter() - begin if own is None else own
        calls += 1
    return total / calls


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    task = json.loads(sys.argv[2])
    try:
        peer = importlib.import_module(sys.argv[1])
        if task["kind"] not in peer.KINDS:
            raise ValueError(f"{sys.argv[1]} cannot do {task['kind']!r}; it can do {sorted(peer.KINDS)}")
        before = resident()
        run = peer.make(task)
        mean = timed(run, 0.1)
    except Exception as error:  # whatever it is, the driver reports it and goes on without this peer
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        return
    print(json.dumps({"ready": mean, "resident": resident() - before}), file=answers)
    for line in sys.stdin:
        print(json.dumps({"mean": timed(run, json.loads(line)["seconds"])}), file=answers)


if __name__ == "__main__":
    main()
