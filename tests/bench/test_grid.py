"""The grid of shapes: what an aligned neighbour is, and that every shape it draws compiles and runs."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.runtime import Session

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import grid


def shapes(count: int) -> list[grid.Shape]:
    rng = np.random.default_rng(3)
    return [grid.random_shape(rng) for _ in range(count)]


def test_a_neighbour_is_aligned_and_its_own_neighbour() -> None:
    kinds = set()
    for shape in shapes(400):
        near = shape.neighbour()
        assert near.neighbour() == near
        assert near.macs >= shape.macs
        assert near.work >= shape.work >= shape.macs
        assert near.groups * near.outputs % 64 == 0
        kinds.add("depthwise" if shape.depthwise else "grouped" if shape.groups > 1 else "dense")
        if shape.depthwise:
            assert near.depthwise
        else:
            assert near.channels % 32 == 0
            assert near.groups == shape.groups
    assert kinds == {"depthwise", "grouped", "dense"}


def test_layers_load_and_count_the_same_macs() -> None:
    for shape in shapes(12):
        session = Session(grid.layer(shape))
        op = session.ops()[1]
        assert op["binary_macs"] * shape.batch == shape.macs
        assert op["out_shape"] == (1, *shape.out, shape.groups * shape.outputs)
        assert math.prod(op["kernel_shape"]) == math.prod(shape.kernel)


def test_measure_and_judge() -> None:
    shape = grid.Shape(40, 24, 1, (3, 3), (1, 1), (1, 1), (5, 5), 2)
    row = grid.measure(shape, None)
    assert row["work"] == 2 * 25 * 9 * 64 * 32
    assert row["neighbour_work"] == 2 * 25 * 9 * 64 * 64
    assert row["ns"] > 0
    rows = [{"ns": 250.0, "neighbour_ns": 400.0, "work": 10, "neighbour_work": 20, "macs": 5, "neighbour_macs": 20}]
    grid.judge(rows, 50)
    assert rows[0]["ratio"] == pytest.approx(1.0)
    assert rows[0]["ratio_real"] == pytest.approx(2.0)
    assert rows[0]["time_ratio"] == pytest.approx(0.625)
    assert rows[0]["macs_per_ns"] == pytest.approx(0.02)
