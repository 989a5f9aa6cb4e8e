"""No shape falls off a cliff: random binary convolutions, each against its aligned neighbour. Writes results/grid.csv.

    python benchmarks/grid.py [--shapes 600] [--seed 0] [--kernel NAME] [--quick]

A shape's *aligned neighbour* is the same layer with the channels of a group rounded up to whole words of 32 and the
outputs rounded up so that all groups together have a multiple of 64; a depthwise layer (one channel and one output a
group) stays depthwise, with its channels rounded up to a multiple of 64. Both are timed in turn, in one process and one
thread, output thresholded to bits. The criterion for each shape:

    time <= 1.5 * work / neighbour's work * neighbour's time + fixed cost

The *work* is MACs with the channels of a group padded to a word of 32 and the outputs of a group to a vector of 16: the
format stores words, and a vector of counts has 16 lanes of 32 bits; less than one of either cannot cost less. Outputs
from 17 to 63 have no such excuse; a depthwise layer has its channels in the bits of words, and its work is them padded
to 32. The fixed cost is what a call costs however small it is: the time of a layer of 32
channels, 64 outputs, one tap and one pixel, measured in the same run.

Beside that, without any padding: `ratio_real` is the same with real MACs (a layer of one output and one channel does 1
of the 2048 MACs that its neighbour does, and no format of whole words can follow), `macs_per_ns` the rates, and
`time_ratio` the time over the neighbour's, which does at least as much: above 1 the padding would have been faster.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bitwright.bench.results import write_results
from bitwright.compiler import bwm, planner
from bitwright.compiler.program import BConv, Const, DType, Geometry, Map, Program, Step, StepKind, Value
from bitwright.runtime import Session

LIMIT = 1.5
MOST_MACS = 100e6  # of a neighbour: some 50 us
MOST_WEIGHTS = 2**24  # bits
ROUNDS = 9
REPEATS = 5


@dataclass(frozen=True)
class Shape:
    """A binary convolution; `size` and `kernel` are (H, W), H = 1 for one dimension."""

    channels: int  # of a group
    outputs: int  # of a group
    groups: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    size: tuple[int, int]
    batch: int

    @property
    def padding(self) -> tuple[int, int]:
        pads = [d * (k - 1) // 2 for k, d in zip(self.kernel, self.dilation, strict=True)]
        return pads[0], pads[1]

    @property
    def out(self) -> tuple[int, int]:
        o = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(self.size, self.padding, self.dilation, self.kernel, self.stride, strict=True)
        ]
        return o[0], o[1]

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.channels == self.outputs == 1

    @property
    def macs(self) -> int:
        return self.batch * math.prod(self.out) * self.groups * self.outputs * math.prod(self.kernel) * self.channels

    @property
    def work(self) -> int:
        """MACs in whole words and vectors; a depthwise layer has its groups in the bits of words."""
        padded = (
            _up(self.groups, 32) if self.depthwise else self.groups * _up(self.outputs, 16) * _up(self.channels, 32)
        )
        return self.batch * math.prod(self.out) * math.prod(self.kernel) * padded

    @property
    def weights(self) -> int:
        """Bits as stored."""
        return self.groups * self.outputs * math.prod(self.kernel) * _up(self.channels, 32)

    def neighbour(self) -> Shape:
        if self.depthwise:
            return replace(self, groups=_up(self.groups, 64))
        return replace(
            self, channels=_up(self.channels, 32), outputs=_up(self.outputs, 64 // math.gcd(self.groups, 64))
        )

    def __str__(self) -> str:
        def pair(values: tuple[int, int]) -> str:
            return "x".join(map(str, values))

        return (
            f"{self.groups * self.channels}->{self.groups * self.outputs} g{self.groups} k{pair(self.kernel)} "
            f"s{pair(self.stride)} d{pair(self.dilation)} {pair(self.size)} batch {self.batch}"
        )


def _up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def random_shape(rng: np.random.Generator) -> Shape:
    """One shape; those that are too large are drawn again."""
    while True:
        one_dimension = rng.random() < 0.15
        k, s, d = int(rng.choice([1, 3, 3, 3, 5, 7])), int(rng.choice([1, 1, 2, 3])), int(rng.choice([1, 1, 1, 2]))
        side = int(rng.choice([1, 2, 3, 5, 7, 8, 13, 14, 16, 27, 28, 32, 56, 64]))
        other = side if rng.random() < 0.7 else int(rng.integers(1, 65))
        channels, outputs = _count(rng), _count(rng)
        kind = rng.random()
        groups = 1
        if kind < 0.12:
            groups, channels, outputs = max(2, channels), 1, 1
        elif kind < 0.3:
            groups = int(rng.choice([2, 3, 4, 8, 16, 32]))
            channels, outputs = max(1, channels // groups), max(1, outputs // groups)
        shape = Shape(
            channels,
            outputs,
            groups,
            (1, k) if one_dimension else (k, k),
            (1, s) if one_dimension else (s, s),
            (1, d) if one_dimension else (d, d),
            (1, side * 4) if one_dimension else (side, other),
            int(rng.choice([1, 1, 1, 2, 3, 5, 8])),
        )
        near = shape.neighbour()
        if min(shape.out) >= 1 and near.macs <= MOST_MACS and near.weights <= MOST_WEIGHTS:
            return shape


def _count(rng: np.random.Generator) -> int:
    """1 to 1024: small and large ones alike, half of them multiples of 8."""
    n = round(2 ** rng.uniform(0, 10))
    return min(1024, _up(n, 8)) if rng.random() < 0.5 else n


def layer(shape: Shape) -> bytes:
    """A model: bits from floats, the convolution with a threshold, and floats again."""
    rng = np.random.default_rng(0)
    spatial = (1, *shape.size)
    out = (1, *shape.out)
    c, o = shape.groups * shape.channels, shape.groups * shape.outputs
    axes = (1, 2, 3, 4)
    x = Value(DType.F32, (*spatial, c), name="x", is_input=True, external_axes=axes)
    y = Value(DType.F32, (*out, o), name="y", is_output=True, external_axes=axes)
    # Channels of a depthwise layer are packed as one group, so that a word of its weights holds 32 of them.
    row = c if shape.depthwise else shape.channels
    bits = Value(DType.BITS, (*spatial, c), groups=1 if shape.depthwise else shape.groups)
    answer = Value(DType.BITS, (*out, o))
    taps, words = math.prod(shape.kernel), _up(row, 32) // 32
    weight = rng.integers(0, 2**32, ((1 if shape.depthwise else o) * taps, words), dtype=np.uint32)
    tail = row % 32
    if tail:
        weight[:, -1] &= (1 << tail) - 1
    pad = (0, *shape.padding)
    geometry = Geometry((1, *shape.kernel), (1, *shape.stride), (1, *shape.dilation), pad, pad, shape.groups)
    threshold = Step(StepKind.THRESHOLD, answer, a=Const(np.zeros(o, np.int32)))
    program = Program([x], [y])
    program.ops = [
        Map("binarize", x, [Step(StepKind.STORE_BITS, bits)]),
        BConv("conv", bits, [threshold], weight=Const(weight), out_channels=o, out=out, geometry=geometry),
        Map("floats", answer, [Step(StepKind.STORE, y)]),
    ]
    planner.plan(program)
    return bwm.encode(program)


def time_pair(first: Session, second: Session, batch: int) -> tuple[float, float]:
    """Nanoseconds of op 1 of both, timed in turn: medians over the rounds of each round's fastest run."""
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(ROUNDS):
        for session, into in zip((first, second), times, strict=True):
            into.append(min(session.time_op(1, batch=batch, repeats=REPEATS)))
    return statistics.median(times[0]), statistics.median(times[1])


def measure(shape: Shape, kernel: str | None) -> dict[str, Any]:
    near = shape.neighbour()
    first, second = (Session(layer(s), threads=1, kernel=kernel) for s in (shape, near))
    ns, near_ns = time_pair(first, second, shape.batch)
    return {
        "shape": str(shape),
        "channels": shape.channels,
        "outputs": shape.outputs,
        "groups": shape.groups,
        "kernel": "x".join(map(str, shape.kernel)),
        "stride": shape.stride[1],
        "dilation": shape.dilation[1],
        "size": "x".join(map(str, shape.size)),
        "batch": shape.batch,
        "macs": shape.macs,
        "neighbour_macs": near.macs,
        "work": shape.work,
        "neighbour_work": near.work,
        "ns": ns,
        "neighbour_ns": near_ns,
        "engine_kernel": first.ops()[1]["kernel"],
    }


def judge(rows: list[dict[str, Any]], fixed: float) -> None:
    """Adds each row's ratio: its time less the fixed cost, over the neighbour's time for as many MACs."""
    for row in rows:
        row["fixed_ns"] = round(fixed)
        for name, unit in (("ratio", "work"), ("ratio_real", "macs")):
            share = row["neighbour_ns"] * row[unit] / row[f"neighbour_{unit}"]
            row[name] = round(max(row["ns"] - fixed, 0) / share, 3)
        row["work_per_ns"] = round(row["work"] / row["ns"], 1)
        row["macs_per_ns"] = round(row["macs"] / row["ns"], 2)
        row["neighbour_macs_per_ns"] = round(row["neighbour_macs"] / row["neighbour_ns"], 2)
        row["time_ratio"] = round(row["ns"] / row["neighbour_ns"], 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--shapes", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kernel", default=None, help="force a kernel or an instruction set")
    parser.add_argument("--quick", action="store_true", help="60 shapes, nothing written")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    shapes: dict[str, Shape] = {}
    while len(shapes) < (60 if arguments.quick else arguments.shapes):
        shape = random_shape(rng)
        if shape != shape.neighbour():
            shapes.setdefault(str(shape), shape)
    tiny = Session(layer(Shape(32, 64, 1, (1, 1), (1, 1), (1, 1), (1, 1), 1)), threads=1, kernel=arguments.kernel)
    start = time.perf_counter()
    fixed_times = []
    rows = []
    for shape in shapes.values():
        fixed_times.append(min(tiny.time_op(1, repeats=REPEATS)))
        rows.append(measure(shape, arguments.kernel))
    fixed = statistics.median(fixed_times)
    judge(rows, fixed)
    rows.sort(key=lambda row: -row["ratio"])
    over = [row for row in rows if row["ratio"] > LIMIT]
    print(f"{len(rows)} shapes in {time.perf_counter() - start:.0f} s; fixed cost of a call {fixed:.0f} ns")
    print(f"{len(over)} shapes are slower than {LIMIT} x the neighbour per MAC + fixed cost; the worst ten:")
    for row in rows[:10]:
        own, near = row["ns"] / 1e3, row["neighbour_ns"] / 1e3
        print(f"  {row['ratio']:6.2f}  {own:8.2f} us, neighbour {near:8.2f} us  {row['shape']}")
    real = sum(row["ratio_real"] > LIMIT for row in rows)
    late = sum(row["ns"] > row["neighbour_ns"] + fixed for row in rows)
    print(f"with real MACs {real} shapes; {late} shapes take longer than the neighbour, which does more, + fixed cost")
    print("the ten lowest rates, in work per ns:")
    for row in sorted((r for r in rows if r["ns"] > 10 * fixed), key=lambda row: row["work_per_ns"])[:10]:
        print(f"  {row['work_per_ns']:7.1f}  {row['ns'] / 1e3:8.2f} us  {row['shape']}")
    if not arguments.quick:
        command = f"python benchmarks/grid.py --shapes {arguments.shapes} --seed {arguments.seed}"
        print(f"wrote {write_results('results/grid.csv', command, rows)}")


if __name__ == "__main__":
    main()
