"""Two threads: each ResNet-18 layer against one thread, and two sessions at once. Writes results/threads.csv.

    python benchmarks/threads.py [--quick]

Layers: binary 3x3 and 1x1 convolutions, one image, thresholded output, op timed alone, one and two threads in turn.
"limit" is what two copies of the layer in two sessions of one thread, each with data of its own, reach together at
that moment: less than 2 where the two CPUs share a core, a cache or a power budget, or something else is running.
Two sessions: a chain of layers run again and again by two Python threads at once, each with a session of its own of two
threads, against the same number of runs one after the other on one thread: 2.0 would be two machines, and below 1 they
would fight.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.grid import Shape, layer

from bitwright.bench.results import write_results
from bitwright.compiler import bwm, planner
from bitwright.compiler.program import BConv, Const, DType, Geometry, Map, Op, Program, Step, StepKind, Value
from bitwright.runtime import Session, available_cpus

# name, input channels, outputs, kernel, stride, size of the input
LAYERS = [
    ("3x3 56x56 64->64", 64, 64, 3, 1, 56),
    ("3x3 56x56 64->128 /2", 64, 128, 3, 2, 56),
    ("3x3 28x28 128->128", 128, 128, 3, 1, 28),
    ("3x3 28x28 128->256 /2", 128, 256, 3, 2, 28),
    ("3x3 14x14 256->256", 256, 256, 3, 1, 14),
    ("3x3 14x14 256->512 /2", 256, 512, 3, 2, 14),
    ("3x3 7x7 512->512", 512, 512, 3, 1, 7),
    ("1x1 56x56 64->128 /2", 64, 128, 1, 2, 56),
    ("1x1 28x28 256->256", 256, 256, 1, 1, 28),
    ("1x1 14x14 512->512", 512, 512, 1, 1, 14),
    ("1x1 7x7 1024->1024", 1024, 1024, 1, 1, 7),
]


def copies(sessions: list[Session], op: int, repeats: int) -> list[float]:
    """Median nanoseconds of the op in each of the sessions while all of them run it."""
    medians = [0.0] * len(sessions)

    def work(i: int) -> None:
        taken = sessions[i].time_op(op, repeats=repeats)
        medians[i] = statistics.median(taken[repeats // 4 : -repeats // 4])  # all are running by then, and still

    at_once([partial(work, i) for i in range(len(sessions))], 1)
    return medians


def scaling(rounds: int) -> list[dict[str, object]]:
    """One thread, two copies of one thread, two threads, in turn."""
    rows: list[dict[str, object]] = []
    for name, channels, outputs, k, s, size in LAYERS:
        data = layer(Shape(channels, outputs, 1, (k, k), (s, s), (1, 1), (size, size), 1))
        alone, two = [Session(data, threads=1) for _ in range(2)], Session(data, threads=2)
        one_ns: list[float] = []
        two_ns: list[float] = []
        limit: list[float] = []
        for _ in range(rounds):
            one_ns.append(statistics.median(alone[0].time_op(1, repeats=60)[20:]))
            limit.append(sum(one_ns[-1] / ns for ns in copies(alone, 1, 80)))
            time.sleep(0.005)  # for 2 ms after runs that overlapped, no session takes all CPUs
            # The workers are up by then: a virtual CPU that sleeps takes a millisecond.
            two_ns.append(statistics.median(two.time_op(1, repeats=160)[100:]))
        rows.append(_row(name, statistics.median(one_ns), statistics.median(two_ns), statistics.median(limit)))
    return rows


def _row(name: str, one: float, two: float, limit: float) -> dict[str, object]:
    row: dict[str, object] = {
        "what": name,
        "one_us": round(one / 1e3, 2),
        "two_us": round(two / 1e3, 2),
        "ratio": round(one / two, 3),
        "limit": round(limit, 3),
    }
    print(f"{name:28} {one / 1e3:9.2f} us  {two / 1e3:9.2f} us  {one / two:6.3f}x of {limit:6.3f}x", flush=True)
    return row


def chain(depth: int = 8, channels: int = 128, size: int = 28) -> bytes:
    """Binary 3x3 layers, one after the other."""
    rng = np.random.default_rng(0)
    x = Value(DType.F32, (1, size, size, channels), name="x", is_input=True, external_axes=(1, 2, 3, 4))
    y = Value(DType.F32, (1, size, size, channels), name="y", is_output=True, external_axes=(1, 2, 3, 4))
    bits = Value(DType.BITS, (1, size, size, channels))
    ops: list[Op] = [Map("binarize", x, [Step(StepKind.STORE_BITS, bits)])]
    geometry = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    for i in range(depth):
        after = Value(DType.BITS, bits.dims)
        weight = Const(rng.integers(0, 2**32, math.prod((channels, 9, channels // 32)), dtype=np.uint32))
        step = Step(StepKind.THRESHOLD, after, a=Const(np.zeros(channels, np.int32)))
        conv = BConv(f"conv{i}", bits, [step], weight=weight, out_channels=channels, out=x.spatial, geometry=geometry)
        ops.append(conv)
        bits = after
    ops.append(Map("floats", bits, [Step(StepKind.STORE, y)]))
    program = Program([x], [y], ops)
    planner.plan(program)
    return bwm.encode(program)


def at_once(functions: list[Callable[[], object]], runs: int) -> float:
    """Nanoseconds until every function has run `runs` times, each in a thread of its own."""
    gate = threading.Barrier(len(functions) + 1)

    def work(function: Callable[[], object]) -> None:
        gate.wait()
        for _ in range(runs):
            function()

    threads = [threading.Thread(target=work, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    gate.wait()
    start = time.perf_counter_ns()
    for t in threads:
        t.join()
    return time.perf_counter_ns() - start


def sessions(rounds: int, runs: int = 100) -> list[dict[str, object]]:
    """Two sessions of two threads at once, and one of two threads, against one of one thread doing all the runs."""
    data = chain()
    x = np.random.default_rng(0).standard_normal((1, 1, 28, 28, 128), dtype=np.float32)
    alone, pair = [[Session(data, threads=n) for _ in range(2)] for n in (1, 2)]
    for session in (*alone, *pair):
        session.run(x)

    def together(sessions: list[Session]) -> float:
        """Nanoseconds of a run, of 2 * runs in all."""
        each = 2 * runs // len(sessions)
        return at_once([partial(session.run, x) for session in sessions], each) / (2 * runs)

    taken = [[together(s) for s in (alone[:1], alone, pair, pair[:1])] for _ in range(rounds)]
    base, both, two_sessions, two_threads = (statistics.median(column) for column in zip(*taken, strict=True))
    return [
        _row("chain, two sessions at once", base, two_sessions, base / both),
        _row("chain, one of two threads", base, two_threads, base / both),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing written")
    quick = parser.parse_args().quick
    if available_cpus() < 2:
        parser.error("this process may use one CPU only: there is nothing to measure")
    rows = scaling(3 if quick else 15) + sessions(3 if quick else 9)
    if not quick:
        print(f"wrote {write_results('results/threads.csv', 'python benchmarks/threads.py', rows)}")


if __name__ == "__main__":
    main()
