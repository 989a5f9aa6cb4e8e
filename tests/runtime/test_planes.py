"""Activations of several bit planes: STORE_LEVELS, and BCONV on them, against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.runtime import ModelError, Session, functional

from . import builder as b
from .builder import Builder, Geometry
from .reference import conv
from .strategies import ISAS, Case, cases

EXAMPLES = settings(max_examples=150, deadline=None)


def levels_of(x: np.ndarray, gain: np.ndarray, offset: np.ndarray, bits: int) -> np.ndarray:
    with np.errstate(all="ignore"):
        scaled = (x * gain).astype(np.float32) + offset
    return np.clip(np.rint(np.nan_to_num(scaled.astype(np.float32), nan=0.0)), 0, 2**bits - 1).astype(np.float64)


def awkward(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Ordinary numbers, ties between levels, and what breaks rounding."""
    x = (random.integers(-40, 300, shape) / 2).astype(np.float32)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-42, 3e38, -3e38, 0.49999997, 8388609.0], np.float32)
    chosen = random.random(shape) < 0.15
    return np.where(chosen, random.choice(odd, shape), np.where(random.random(shape) < 0.5, x, x / 64)).astype(
        np.float32
    )


def vector(m: Builder, random: np.random.Generator, n: int, one: float) -> tuple[int, np.ndarray, float]:
    """(constant or none, the numbers, the scalar) of a step's parameter."""
    if random.random() < 0.5:
        return b.NONE, np.full(1, one, np.float32), one
    data = random.choice(np.array([one, 0.5, 2.0, -1.0, 0.3], np.float32), n).astype(np.float32)
    return m.constant(data), data, 0.0


@EXAMPLES
@given(cases(), st.integers(1, 8), st.integers(1, 8), st.sampled_from(["store", "threshold", "levels"]))
def test_convolutions_of_levels(case: Case, planes: int, next_planes: int, end: str) -> None:
    """Levels from a map, a convolution of any geometry, then floats, a threshold, or the next layer's levels."""
    pad_mode = 0 if case.geometry.pad_mode == 1 else case.geometry.pad_mode
    case = replace(case, geometry=replace(case.geometry, pad_mode=pad_mode), low=1)
    random = case.random()
    x = awkward(random, (case.batch, *case.size, case.channels))
    g, dims = case.geometry, (*case.out, case.outputs)
    weight = random.random((case.outputs, int(np.prod(g.kernel)), case.channels // g.groups)) < 0.5
    m = Builder(minor=1)
    source = m.value("f32", (*case.size, case.channels), role="input")
    bits = m.value("bits", (*case.size, case.channels), g.groups, planes=planes if planes > 1 else 0)
    y = m.value("f32", dims, role="output")
    a, gain, p0 = vector(m, random, case.channels, 1.0)
    c, offset, p1 = vector(m, random, case.channels, 0.25)
    m.map(source, [b.store_levels(bits, planes, a, c, p0, p1)])
    packed = m.constant(b.pack(weight))
    expected = conv(levels_of(x, gain, offset, planes), np.where(weight, 1.0, -1.0), case.out, g)
    if end == "store":
        m.bconv(bits, packed, case.outputs, case.out, g, [b.store(y)], 1)
    elif end == "threshold":
        limit = random.integers(-(2**planes) * 9, 2**planes * 9, case.outputs).astype(np.int32)
        limit[0], limit[-1] = 2**31 - 1, -(2**31)
        flip = random.random(case.outputs) < 0.5
        last = m.value("bits", dims)
        steps = [b.threshold(last, m.constant(limit), m.constant(b.pack(flip)))]
        m.bconv(bits, packed, case.outputs, case.out, g, steps, 1)
        m.map(last, [b.store(y)])
        expected = np.where((expected >= limit) ^ flip, 1.0, -1.0)
    else:
        groups = int(random.choice([k for k in (1, 2, 3, 5) if case.outputs % k == 0]))
        last = m.value("bits", dims, groups, planes=next_planes if next_planes > 1 else 0)
        scale = random.choice(np.array([0.5, 0.25, -1.0, 0.1], np.float32), case.outputs)
        steps = [b.affine(m.constant(scale)), b.store(y), b.store_levels(last, next_planes, p0=1.5, p1=0.5)]
        m.bconv(bits, packed, case.outputs, case.out, g, steps, 1)
        expected = (expected.astype(np.float32) * scale).astype(np.float32)
        session = Session(m.file(), case.threads, case.isa)
        first = session.run_op(0, {source: x})[bits]
        np.testing.assert_array_equal(first, levels_of(x, gain, offset, planes))
        second = session.run_op(1, {bits: first})
        np.testing.assert_array_equal(second[y], expected)
        np.testing.assert_array_equal(second[last], levels_of(expected, np.float32(1.5), np.float32(0.5), next_planes))
    np.testing.assert_array_equal(Session(m.file(), case.threads, case.isa).run(x), expected)


@pytest.mark.parametrize("isa", ISAS)
def test_counts_of_32_bits_and_extremes(isa: str) -> None:
    """Every plane set, every weight +1 or -1, so many products that one plane's count does not fit 16 bits."""
    channels = 70000
    m = Builder(minor=1)
    x = m.value("f32", (1, 1, 1, channels), role="input", axes=(4,))
    bits = m.value("bits", (1, 1, 1, channels), planes=8)
    y = m.value("f32", (1, 1, 1, 2), role="output", axes=(4,))
    m.map(x, [b.store_levels(bits, 8)])
    weight = m.constant(b.pack(np.stack([np.ones((1, channels), bool), np.zeros((1, channels), bool)])))
    m.bconv(bits, weight, 2, (1, 1, 1), Geometry(), [b.store(y)], 1)
    got = Session(m.file(), 1, isa).run(np.full((1, channels), 1e9, np.float32))
    np.testing.assert_array_equal(got, [[np.float32(255 * channels), -np.float32(255 * channels)]])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_level_and_tie(isa: str, bits: int) -> None:
    x = (np.arange(-8, 4 * 2**bits, dtype=np.float32) / 4)[:, None]
    weight = np.ones((1, 1, 1), np.uint32)
    got = functional.level_conv(
        x.reshape(1, 1, 1, -1, 1), weight, bits, out_channels=1, kernel=1, engine_kernel=isa
    ).reshape(-1)
    np.testing.assert_array_equal(got, np.clip(np.rint(x[:, 0]), 0, 2**bits - 1))


def model(**changes: int) -> bytes:
    """One convolution of levels; `changes` spoil it."""
    k = {"planes": 2, "n": 2, "low": 1, "pad_mode": 0, "minor": 1} | changes
    m = Builder(minor=k["minor"])
    x = m.value("f32", (1, 1, 3, 5), role="input")
    bits = m.value("bits", (1, 1, 3, 5), planes=k["planes"])
    y = m.value("f32", (1, 1, 3, 1), role="output")
    m.map(x, [b.store_levels(bits, k["n"])])
    g = Geometry((1, 1, 3), pad_begin=(0, 0, 1), pad_end=(0, 0, 1), pad_mode=k["pad_mode"])
    m.bconv(bits, m.constant(np.zeros((1, 3, 1), np.uint32)), 1, (1, 1, 3), g, [b.store(y)], k["low"])
    return m.file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planes": 1, "n": 1}, "1 planes; bits have 0 .meaning 1. or 2 to 8"),
        ({"planes": 9, "n": 9}, "9 planes; bits have 0"),
        ({"n": 3}, "n 3, value 1 has 2 planes"),
        ({"low": 0}, "low 0, 1 is expected for an input of 2 planes"),
        ({"pad_mode": 1}, "pad_mode 1 for an input of 2 planes"),
        ({"minor": 0}, "planes in a file of version 1.0, it came with 1.1"),
    ],
)
def test_hostile_files(changes: dict[str, int], message: str) -> None:
    Session(model())
    with pytest.raises(ModelError, match=message):
        Session(model(**changes))


def test_depthwise_planes_are_packed_in_groups() -> None:
    def one(groups: int) -> bytes:
        m = Builder(minor=1)
        x, y = m.value("f32", (1, 1, 3, 4), role="input"), m.value("f32", (1, 1, 3, 4), role="output")
        bits = m.value("bits", (1, 1, 3, 4), groups, planes=2)
        m.map(x, [b.store_levels(bits, 2)])
        weight = m.constant(np.zeros((4, 1, 1) if groups == 4 else (1, 1, 1), np.uint32))
        m.bconv(bits, weight, 4, (1, 1, 3), Geometry(groups=4), [b.store(y)], 1)
        return m.file()

    Session(one(4))
    with pytest.raises(ModelError, match="4 groups, but its input is packed in 1"):
        Session(one(1))


def test_planes_only_where_they_have_a_meaning() -> None:
    def one(make: str) -> bytes:
        m = Builder(minor=1)
        x = m.value("f32", (1, 2, 2, 5), role="input")
        two, plain = m.value("bits", (1, 2, 2, 5), planes=2), m.value("bits", (1, 2, 2, 5))
        y = m.value("f32", (1, 2, 2, 5), role="output")
        m.map(x, [b.store_bits(two) if make == "store" else b.store_levels(two, 2), b.store_bits(plain)])
        if make == "pool":
            m.bpool(two, m.value("bits", (1, 1, 1, 5)), Geometry((1, 2, 2), (1, 2, 2)))
        m.map(two if make == "map" else plain, [b.store(y)])
        return m.file()

    for make, message in [
        ("store", r"STORE_BITS\): step value 1 has 2 planes, 1 is expected"),
        ("map", r"MAP\): input value 1 has 2 planes, 1 is expected"),
        ("pool", r"BPOOL\): input value 1 has 2 planes, 1 is expected"),
    ]:
        with pytest.raises(ModelError, match=message):
            Session(one(make))


def test_bad_arguments() -> None:
    x, weight = np.zeros((1, 1, 1, 1, 4), np.float32), np.zeros((2, 1, 1), np.uint32)
    with pytest.raises(ValueError, match="bits is 9; 1 to 8"):
        functional.level_conv(x, weight, 9, out_channels=2, kernel=1)
    with pytest.raises(ValueError, match="gain has 3 elements; 1 or 4"):
        functional.level_conv(x, weight, 2, np.ones(3), out_channels=2, kernel=1)
    with pytest.raises(ValueError, match="offset has 5 elements; 1 or 4"):
        functional.level_conv(x, weight, 2, 1.0, np.ones(5), out_channels=2, kernel=1)
    with pytest.raises(TypeError, match="x is float64"):
        functional.level_conv(x.astype(np.float64), weight, 2, out_channels=2, kernel=1)
