"""POOL, MAP, COPY, EMBED and every step against numpy, on every epilogue that this machine has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.runtime import InputError, Session

from . import builder as b
from .builder import Builder, Geometry
from .reference import conv, pool
from .strategies import ISAS

EXAMPLES = settings(max_examples=80, deadline=None)
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, 0.5, 2.5], np.float32)


def numbers(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers with every special one strewn in."""
    x = random.standard_normal(shape).astype(np.float32)
    flat = x.reshape(-1)
    where = random.random(flat.size) < 0.2
    flat[where] = random.choice(SPECIAL, int(where.sum()))
    return x


@st.composite
def pools(draw: Any) -> tuple[Geometry, tuple[int, ...], tuple[int, ...], int]:
    kind = draw(st.sampled_from([1, 2, 3]))
    kernel, stride, dilation, begin, end, size, out = [1] * 3, [1] * 3, [1] * 3, [0] * 3, [0] * 3, [1] * 3, [1] * 3
    for k in range(draw(st.integers(0, 2)), 3):
        size[k] = draw(st.integers(1, 6))
        kernel[k] = draw(st.integers(1, 4))
        dilation[k] = draw(st.integers(1, min(2, size[k])))
        extent = dilation[k] * (kernel[k] - 1) + 1
        stride[k] = draw(st.integers(1, 3))
        begin[k] = draw(st.integers(0, extent - 1))
        end[k] = draw(st.integers(0, extent - 1))
        begin[k] += max(0, min(extent - 1 - begin[k], extent - size[k] - begin[k] - end[k]))
        end[k] += max(0, extent - size[k] - begin[k] - end[k])
        room = size[k] + begin[k] + end[k] - extent
        out[k] = room // stride[k] + 1
        if draw(st.booleans()):
            out[k] = -(-room // stride[k]) + 1
        while out[k] > 1 and (out[k] - 1) * stride[k] >= begin[k] + size[k]:  # ceil mode drops windows outside the map
            end[k] = max(0, end[k] - 1)
            out[k] = (size[k] + begin[k] + end[k] - extent) // stride[k] + 1
    return Geometry(kernel, stride, dilation, begin, end), tuple(size), tuple(out), kind


@EXAMPLES
@given(
    pools(), st.sampled_from([1, 3, 32, 70, 600]), st.integers(1, 3), st.sampled_from(ISAS), st.integers(0, 2**32 - 1)
)
def test_pooling(
    case: tuple[Geometry, tuple[int, ...], tuple[int, ...], int], channels: int, batch: int, isa: str, seed: int
) -> None:
    geometry, size, out, kind = case
    x = np.random.default_rng(seed).integers(-64, 65, (batch, *size, channels)).astype(np.float32)
    m = Builder()
    source = m.value("f32", (*size, channels), role="input")
    y = m.value("f32", (*out, channels), role="output")
    m.pool(source, kind, out, geometry, [b.store(y)])
    expected = pool(x, kind, out, geometry).astype(np.float32)
    np.testing.assert_array_equal(Session(m.file(), 2, isa).run(x), expected)


@EXAMPLES
@given(
    pools(),
    st.sampled_from([(1, 1), (3, 1), (32, 1), (70, 1), (600, 1), (6, 2), (64, 2), (99, 3)]),
    st.integers(1, 3),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_bit_pooling(
    case: tuple[Geometry, tuple[int, ...], tuple[int, ...], int],
    layout: tuple[int, int],
    batch: int,
    threads: int,
    flips: bool,
    seed: int,
) -> None:
    """The maximum of ±1 maps, then flips, for every packing; the input is left alone."""
    geometry, size, out, _ = case
    channels, groups = layout
    random = np.random.default_rng(seed)
    x = random.standard_normal((batch, *size, channels)).astype(np.float32) - 1
    flip = random.random(channels) < 0.5 if flips else np.zeros(channels, bool)
    m = Builder()
    source = m.value("f32", (*size, channels), role="input")
    bits, pooled = m.value("bits", (*size, channels), groups), m.value("bits", (*out, channels), groups)
    y, z = m.value("f32", (*out, channels), role="output"), m.value("f32", (*size, channels), role="output")
    m.map(source, [b.store_bits(bits)])
    m.bpool(bits, pooled, geometry, m.constant(b.pack(flip)) if flips else b.NONE)
    m.map(pooled, [b.store(y)])
    m.map(bits, [b.store(z)])
    signs = np.where(x >= 0, np.float32(1), np.float32(-1))
    got_y, got_z = Session(m.file(), threads).run(x)
    np.testing.assert_array_equal(got_y, pool(signs, 1, out, geometry) * np.where(flip, -1, 1))
    np.testing.assert_array_equal(got_z, signs)


@pytest.mark.parametrize("channels", [32, 40])
def test_pooled_bits_are_read_by_a_convolution(channels: int) -> None:
    """Tail bits stay 0 behind flips, and the padding pixel is the convolution's own."""
    random = np.random.default_rng(channels)
    x = random.standard_normal((2, 1, 6, 6, channels)).astype(np.float32)
    m = Builder()
    source = m.value("f32", (1, 6, 6, channels), role="input")
    bits, pooled = m.value("bits", (1, 6, 6, channels)), m.value("bits", (1, 3, 3, channels))
    y = m.value("f32", (1, 3, 3, 5), role="output")
    weight = random.random((5, 9, channels)) < 0.5
    m.map(source, [b.store_bits(bits)])
    m.bpool(bits, pooled, Geometry((1, 2, 2), (1, 2, 2)), m.constant(b.pack(np.ones(channels, bool))))
    same = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), pad_mode=1)
    m.bconv(pooled, m.constant(b.pack(weight)), 5, (1, 3, 3), same, [b.store(y)])
    signs = -pool(np.where(x >= 0, 1.0, -1.0), 1, (1, 3, 3), Geometry((1, 2, 2), (1, 2, 2)))
    expected = conv(signs, np.where(weight, 1.0, -1.0), (1, 3, 3), same, 1.0)
    np.testing.assert_array_equal(Session(m.file()).run(x), expected)


def test_max_pooling_keeps_nan() -> None:
    m = Builder()
    source = m.value("f32", (1, 1, 4, 1), role="input")
    y = m.value("f32", (1, 1, 2, 1), role="output")
    m.pool(source, 1, (1, 1, 2), Geometry((1, 1, 2), (1, 1, 2)), [b.store(y)])
    x = np.array([1, np.nan, np.nan, 2], np.float32).reshape(1, 1, 1, 4, 1)
    assert np.isnan(Session(m.file()).run(x)).all()


erf = np.vectorize(math.erf, otypes=[np.float64])
UNARY: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: np.abs,
    2: lambda x: 1 / (1 + np.exp(-x)),
    3: np.tanh,
    4: np.exp,
    5: np.sqrt,
    6: np.negative,
    7: lambda x: np.clip(x + 3, 0, 6) / 6,
    8: erf,
    9: lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("function", UNARY)
def test_unary_steps(isa: str, function: int) -> None:
    x = np.concatenate([np.linspace(-9, 9, 999), np.linspace(-1e-3, 1e-3, 101)]).astype(np.float32)
    x = np.abs(x) if function == 5 else x
    m = Builder()
    source = m.value("f32", (1, 1, 1, x.size), role="input", axes=(4,))
    y = m.value("f32", (1, 1, 1, x.size), role="output", axes=(4,))
    m.map(source, [b.unary(function), b.store(y)])
    got = Session(m.file(), 1, isa).run(x[None])
    np.testing.assert_allclose(got[0], UNARY[function](x.astype(np.float64)), rtol=4e-6, atol=2e-7)


Steps = list[tuple[Any, ...]]
CHAINS = st.lists(
    st.sampled_from(
        [
            "affine",
            "affine0",
            "add",
            "prelu",
            "prelu0",
            "clamp",
            "store",
            "bits",
            "bits0",
            "abs",
            "negate",
            "mul",
            "gate",
        ]
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(
    CHAINS,
    st.sampled_from([(1, 1, 1), (1, 1, 9), (1, 3, 5), (2, 3, 2)]),
    st.sampled_from([1, 5, 31, 32, 33, 64, 96, 100, 520]),
    st.sampled_from([1, 2, 3]),
    st.integers(1, 4),
    st.sampled_from([1, 2]),
    st.sampled_from(ISAS),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_chains_of_steps(
    chain: list[str],
    size: tuple[int, int, int],
    channels: int,
    wanted_groups: int,
    batch: int,
    threads: int,
    isa: str,
    seed: int,
    from_bits: bool,
) -> None:
    """Any chain of steps, special numbers included, bit for bit. Every step's intermediate value ends in an output."""
    random = np.random.default_rng(seed)
    groups = wanted_groups if channels % wanted_groups == 0 else 1
    dims = (*size, channels)
    m = Builder()
    source = m.value("f32", dims, role="input")
    x = numbers(random, (batch, *dims))
    inputs, steps, expected, written = [x], [], [], []
    chained = source
    if from_bits:
        chained = m.value("bits", dims, groups)
        m.map(source, [b.store_bits(chained)])
        x = np.where(x >= 0, np.float32(1), np.float32(-1))

    def parameter() -> tuple[int, np.ndarray]:
        a = numbers(random, (channels,))
        return m.constant(a), a

    def other(shape: tuple[int, ...]) -> tuple[int, np.ndarray]:
        array = numbers(random, (batch, *shape))
        inputs.append(array)
        return m.value("f32", shape, role="input"), array

    with np.errstate(all="ignore"):
        for kind in [*chain, "store"]:
            p0, p1 = (np.float32(v) for v in random.standard_normal(2))
            if kind == "affine":
                (i, a), (j, c) = parameter(), parameter()
                steps.append(b.affine(i, j))
                x = x * a + c
            elif kind == "affine0":
                steps.append(b.affine(p0=p0, p1=p1))
                x = x * p0 + p1
            elif kind == "add":
                i, a = other(dims)
                steps.append(b.add(i))
                x = x + a
            elif kind == "mul":
                i, a = other(dims)
                steps.append(b.mul(i))
                x = x * a
            elif kind == "gate":
                i, a = other((1, 1, 1, channels))
                steps.append(b.mul(i, gate=True))
                x = x * a
            elif kind == "prelu":
                i, a = parameter()
                steps.append(b.prelu(i))
                x = np.where(x >= 0, x, a * x)
            elif kind == "prelu0":
                steps.append(b.prelu(p0=p0))
                x = np.where(x >= 0, x, p0 * x)
            elif kind == "clamp":
                low, high = min(p0, p1), max(p0, p1)
                steps.append(b.clamp(low, high))
                x = np.where(np.isnan(x), x, np.minimum(np.maximum(x, low), high))
            elif kind == "abs":
                steps.append(b.unary(1))
                x = np.abs(x)
            elif kind == "negate":
                steps.append(b.unary(6))
                x = -x
            elif kind == "store":
                y = m.value("f32", dims, role="output")
                steps.append(b.store(y))
                expected.append(x)
            else:
                bits = m.value("bits", dims, groups)
                flip = random.random(channels) < 0.5
                if kind == "bits":
                    i, a = parameter()
                    steps.append(b.store_bits(bits, i, m.constant(b.pack(flip))))
                    written.append((bits, (x >= a) ^ flip))
                else:
                    steps.append(b.store_bits(bits, p0=p0))
                    written.append((bits, x >= p0))
    m.map(chained, steps)
    for bits, array in written:
        y = m.value("f32", dims, role="output")
        m.map(bits, [b.store(y)])
        expected.append(np.where(array, np.float32(1), np.float32(-1)))
    got = Session(m.file(), threads, isa).run(*inputs)
    got = [got] if len(expected) == 1 else got
    for have, want in zip(got, expected, strict=True):
        np.testing.assert_array_equal(have, want.astype(np.float32))


@EXAMPLES
@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2]))
def test_copies(data: Any, batch: int, threads: int) -> None:
    """Channel ranges of one value filled by several strided boxes, or one box with the rest zero."""
    out = tuple(data.draw(st.integers(1, 3)) for _ in range(3))
    pieces = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    rest = len(pieces) == 1 and data.draw(st.booleans())
    before, after = (data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))) if rest else (0, 0)
    channels = before + sum(pieces) + after
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    m = Builder()
    inputs, expected = [], np.zeros((batch, *out, channels), np.float32)
    y = m.value("f32", (*out, channels), role="output")
    boxes, at = [], before
    for piece in pieces:
        start = [data.draw(st.integers(0, 2)) for _ in range(4)]
        step = [data.draw(st.integers(1, 2)) for _ in range(4)]
        count = [*out, piece]
        size = [s + (c - 1) * t + 1 + data.draw(st.integers(0, 1)) for s, t, c in zip(start, step, count, strict=True)]
        x = random.standard_normal((batch, *size)).astype(np.float32)
        inputs.append(x)
        box = tuple(slice(s, s + (c - 1) * t + 1, t) for s, t, c in zip(start, step, count, strict=True))
        expected[..., at : at + piece] = x[(slice(None), *box)]
        boxes.append((m.value("f32", size, role="input"), start, step, count, at))
        at += piece
    for source, start, step, count, channel in boxes:
        m.copy(source, y, start, step, count, channel, rest)
    np.testing.assert_array_equal(Session(m.file(), threads).run(*inputs), expected)


@EXAMPLES
@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2]))
def test_copies_into_single_pixels(data: Any, batch: int, threads: int) -> None:
    """A map filled pixel by pixel, in any order, each pixel from one or two boxes of other maps."""
    out = tuple(data.draw(st.integers(1, 3)) for _ in range(3))
    pixels, channels = int(np.prod(out)), data.draw(st.integers(1, 40))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    m = Builder(minor=1)
    size = (2, 3, 2, 2 * channels + 3)
    x = random.standard_normal((batch, *size)).astype(np.float32)
    source, y = m.value("f32", size, role="input"), m.value("f32", (*out, channels), role="output")
    expected = np.zeros((batch, pixels, channels), np.float32)
    for pixel in data.draw(st.permutations(range(pixels))):
        cut = data.draw(st.integers(1, channels))
        for at, width in ((0, cut), (cut, channels - cut)):
            if width:
                d, h, w, c = (int(random.integers(n)) for n in (2, 3, 2, 3))
                step = int(random.integers(1, 3))
                expected[:, pixel, at : at + width] = x[:, d, h, w, c : c + (width - 1) * step + 1 : step]
                m.copy(source, y, (d, h, w, c), (1, 1, 1, step), (1, 1, 1, width), pixel * channels + at)
    result = Session(m.file(), threads).run(x)
    np.testing.assert_array_equal(result, expected.reshape(batch, *out, channels))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [1, 32, 100, 600])
@pytest.mark.parametrize("scaled", [False, True])
def test_embedding(isa: str, channels: int, scaled: bool) -> None:
    random = np.random.default_rng(channels)
    table = random.random((50, channels)) < 0.5
    scale = random.standard_normal(50).astype(np.float32)
    m = Builder()
    ids = m.value("i32", (1, 1, 7, 1), role="input", axes=(3,))
    y = m.value("f32", (1, 1, 7, channels), role="output", axes=(3, 4))
    m.embed(
        ids,
        m.constant(b.pack(table)),
        50,
        channels,
        [b.affine(p1=1.0), b.store(y)],
        m.constant(scale) if scaled else b.NONE,
    )
    session = Session(m.file(), 2, isa)
    x = random.integers(0, 50, (4, 7))
    rows = np.where(table, np.float32(1), np.float32(-1)) * (scale[:, None] if scaled else np.float32(1))
    for dtype in (np.int32, np.int64):
        np.testing.assert_array_equal(session.run(x.astype(dtype)), rows[x] + np.float32(1))
    for bad in (-1, 50, 2**31, -(2**40)):
        x[2, 3] = bad
        with pytest.raises(InputError, match=f"id {bad} is out of range"):
            session.run(x)
