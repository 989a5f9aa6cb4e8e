"""The i16 fixed-point stream: every step and op on i16 values against integers in Python, on every epilogue of this
machine. Written from docs/bwm.md; no code shared with the engine or the compiler."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.runtime import ModelError, Session

from . import builder as b
from .builder import Builder, Geometry
from .reference import conv, pool
from .strategies import ISAS
from .test_maps import numbers, pools

CHANNELS = st.sampled_from([1, 5, 16, 31, 32, 33, 64, 70, 96, 100, 130])
STEPS = ["add", "prelu", "prelu_up", "bias", "clamp", "store", "bits", "flip"]
EXTREME = np.array([-32768, -32767, -1, 0, 1, 32766, 32767], np.int64)


def sat(x: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(x, -32768), 32767)


def rounded(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.floor_divide(p * q + 16384, 32768)


def shorts(random: np.random.Generator, shape: tuple[int, ...], low: int = -32768) -> np.ndarray:
    """Integers of all sizes, the extremes strewn in."""
    x = random.integers(-32768, 32768, shape) >> random.integers(0, 16, shape)
    flat = x.reshape(-1)
    where = random.random(flat.size) < 0.2
    flat[where] = random.choice(EXTREME, int(where.sum()))
    return np.maximum(x, low)


class Chain:
    """A random chain of i16 steps on x int64 [N, D, H, W, C], what it needs and what it must write."""

    def __init__(self, m: Builder, random: np.random.Generator, batch: int, dims: tuple[int, ...], groups: int) -> None:
        self.m, self.random, self.batch, self.dims, self.groups = m, random, batch, dims, groups
        self.inputs: list[np.ndarray] = []
        self.written: list[tuple[int, np.ndarray]] = []
        self.steps: list[bytes] = []

    def constant(self, low: int = -32768) -> tuple[int, np.ndarray]:
        x = shorts(self.random, self.dims[-1:], low)
        return self.m.constant(x.astype(np.int32)), x

    def i16_input(self) -> tuple[int, np.ndarray]:
        """An i16 value with given contents: quantized from a float input."""
        x = shorts(self.random, (self.batch, *self.dims))
        source = self.m.value("f32", self.dims, role="input")
        value = self.m.value("i16", self.dims, scale=0.5)
        self.m.map(source, [b.quantize_i16(1.0), b.store_i16(value)])
        self.inputs.append(x.astype(np.float32))
        return value, x

    def run(self, kinds: list[str], x: np.ndarray) -> None:
        channels = self.dims[-1]
        for kind in [*kinds, "store"]:
            if kind == "add":
                value, other = self.i16_input()
                self.steps.append(b.add_i16(value))
                x = sat(x + other)
            elif kind in ("prelu", "prelu_up"):
                after = 0 if kind == "prelu" else int(self.random.integers(1, 16))
                a, slope = self.constant(-32767)
                self.steps.append(b.prelu_i16(a, after))
                x = np.where(x >= 0, x, sat(rounded(x, slope) * 2**after))
            elif kind == "bias":
                a, offset = self.constant()
                self.steps.append(b.bias_i16(a))
                x = sat(x + offset)
            elif kind == "clamp":
                low, high = sorted(int(v) for v in shorts(self.random, (2,)))
                self.steps.append(b.clamp_i16(low, high))
                x = np.minimum(np.maximum(x, low), high)
            elif kind == "store":
                value = self.m.value("i16", self.dims, scale=0.25)
                self.steps.append(b.store_i16(value))
                self.written.append((value, x))
            else:
                value = self.m.value("bits", self.dims, self.groups)
                a, threshold = self.constant()
                flip = self.random.random(channels) < 0.5 if kind == "flip" else np.zeros(channels, bool)
                words = self.m.constant(b.pack(flip)) if kind == "flip" else b.NONE
                self.steps.append(b.store_bits_i16(value, a, words))
                self.written.append((value, np.where((x >= threshold) ^ flip, 1, -1)))

    def check(self, isa: str, threads: int, *inputs: np.ndarray) -> None:
        """Reads what was written through float maps and compares."""
        want = []
        for value, array in self.written:
            y = self.m.value("f32", self.dims, role="output")
            self.m.map(value, [b.store(y)])
            scale = np.float32(self.m.values[value].scale or 1)
            want.append(array.astype(np.float32) * scale)
        self.m.minor = 1
        got = Session(self.m.file(), threads, isa).run(*inputs, *self.inputs)
        for have, wanted in zip([got] if len(want) == 1 else got, want, strict=True):
            np.testing.assert_array_equal(have, wanted)


KINDS = st.lists(st.sampled_from(STEPS), max_size=6)


@settings(max_examples=250, deadline=None)
@given(
    KINDS,
    CHANNELS,
    st.sampled_from([1, 2]),
    st.sampled_from([(1, 1, 1), (1, 3, 5), (1, 1, 19)]),
    st.integers(1, 3),
    st.sampled_from([1, 2]),
    st.sampled_from(ISAS),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_chains(
    kinds: list[str],
    channels: int,
    groups: int,
    size: tuple[int, int, int],
    batch: int,
    threads: int,
    isa: str,
    from_i16: bool,
    seed: int,
) -> None:
    """MAP from an i16 value, or from floats through QUANTIZE_I16."""
    random = np.random.default_rng(seed)
    m = Builder()
    chain = Chain(m, random, batch, (*size, channels), groups if channels % groups == 0 else 1)
    if from_i16:
        source, x = chain.i16_input()
        chain.run(kinds, x)
        m.map(source, chain.steps)
        chain.check(isa, threads)
        return
    with np.errstate(all="ignore"):
        real = numbers(random, (batch, *size, channels)) * np.float32(3000)
    factor = np.float32(random.choice([1.0, 0.37, 4.0, 1e-3, 1e9]))
    source = m.value("f32", (*size, channels), role="input")
    with np.errstate(all="ignore"):
        y = np.rint((real * np.float32(2) + np.float32(0.5)) * factor)
    x = np.where(np.isnan(y), 0, np.clip(y, -32768, 32767)).astype(np.int64)
    chain.steps += [b.affine(p0=2.0, p1=0.5), b.quantize_i16(float(factor))]
    chain.run(kinds, x)
    m.map(source, chain.steps)
    inputs = chain.inputs
    chain.inputs = []
    chain.check(isa, threads, real, *inputs)


@settings(max_examples=200, deadline=None)
@given(
    KINDS,
    st.sampled_from([1, 5, 32, 40, 64]),
    CHANNELS,
    st.sampled_from([1, 1, 2]),
    st.sampled_from([0, 1, 2, 3]),
    st.sampled_from([0, 0, 1]),
    st.sampled_from([1, 2]),
    st.sampled_from(ISAS),
    st.integers(0, 2**32 - 1),
)
def test_binary_convolutions(
    kinds: list[str],
    row: int,
    outputs: int,
    groups: int,
    pad_mode: int,
    low: int,
    threads: int,
    isa: str,
    seed: int,
) -> None:
    """FIXED and a random chain behind a 3x3 convolution, borders included."""
    random = np.random.default_rng(seed)
    if outputs % groups:
        groups = 1
    channels, dims, batch = row * groups, (1, 5, 6, outputs), 2
    m = Builder()
    source = m.value("f32", (1, 5, 6, channels), role="input")
    bits = m.value("bits", (1, 5, 6, channels), groups)
    m.map(source, [b.store_bits(bits)])
    chain = Chain(m, random, batch, dims, int(random.choice([1, groups])))
    g = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), groups=groups, pad_mode=pad_mode)
    weight = random.random((outputs, 9, row)) < random.random()
    image = np.where(random.random((batch, 1, 5, 6, channels)) < random.random(), 1.0, -1.0).astype(np.float32)
    values = (image + 1) / 2 if low else image
    fill = 1.0 if pad_mode == 1 else float(-1 + low) if pad_mode == 2 else 0.0
    acc = conv(values, np.where(weight, 1.0, -1.0), dims[:3], g, fill).astype(np.int64)
    before = int(random.integers(0, 1 + int(np.log2(32767 // (9 * row)))))
    after = int(random.choice([0, 0, 1, 4, 15]))
    i, a = chain.constant(-32767)
    j, offset = chain.constant()
    chain.steps.append(b.fixed(i, j, before, after))
    x = sat(sat(rounded(acc * 2**before, a) * 2**after) + offset)
    chain.run(kinds, x)
    m.bconv(bits, m.constant(b.pack(weight)), outputs, dims[:3], g, chain.steps, low)
    chain.check(isa, threads, image)


@settings(max_examples=80, deadline=None)
@given(pools(), CHANNELS, st.integers(1, 2), st.sampled_from(ISAS), st.booleans(), st.integers(0, 2**32 - 1))
def test_pooling(
    case: tuple[Geometry, tuple[int, ...], tuple[int, ...], int],
    channels: int,
    batch: int,
    isa: str,
    fixed: bool,
    seed: int,
) -> None:
    """Max stays in i16 or becomes float; averages are exact sums, one product and one quotient."""
    geometry, size, out, kind = case
    random = np.random.default_rng(seed)
    m = Builder()
    chain = Chain(m, random, batch, (*size, channels), 1)
    source, x = chain.i16_input()
    chain.dims = (*out, channels)
    if kind == 1 and fixed:
        chain.run(["bits"], pool(x.astype(np.float64), 1, out, geometry).astype(np.int64))
        m.pool(source, kind, out, geometry, chain.steps)
        chain.check(isa, 2)
        return
    y = m.value("f32", (*out, channels), role="output")
    m.pool(source, kind, out, geometry, [b.store(y)])
    m.minor = 1
    got = Session(m.file(), 2, isa).run(*chain.inputs)
    if kind == 1:
        want = pool(x.astype(np.float64), 1, out, geometry).astype(np.float32) * np.float32(0.5)
    else:
        divisor = np.empty(out)
        for o in np.ndindex(*out):
            n = 1
            for k in range(3):
                start = o[k] * geometry.stride[k] - geometry.pad_begin[k]
                taps = [start + t * geometry.dilation[k] for t in range(geometry.kernel[k])]
                limit = size[k] + (geometry.pad_end[k] if kind == 3 else 0)
                n *= sum((t >= 0 or kind == 3) and t < limit for t in taps)
            divisor[o] = n
        divisor = divisor[None, ..., None]
        total = np.rint(pool(x.astype(np.float64), kind, out, geometry) * divisor)
        want = total.astype(np.float32) * np.float32(0.5) / divisor.astype(np.float32)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [1, 20, 33, 64, 100])
def test_i16_in_float_chains(isa: str, channels: int) -> None:
    """ADD of an i16 value adds q * scale, both rounded."""
    random = np.random.default_rng(channels)
    m = Builder(minor=1)
    chain = Chain(m, random, 2, (1, 3, 7, channels), 1)
    value, q = chain.i16_input()
    m.values[value].scale = 0.1
    source = m.value("f32", (1, 3, 7, channels), role="input")
    y = m.value("f32", (1, 3, 7, channels), role="output")
    m.map(source, [b.add(value), b.store(y)])
    x = random.standard_normal((2, 1, 3, 7, channels)).astype(np.float32)
    got = Session(m.file(), 1, isa).run(*chain.inputs, x)
    np.testing.assert_array_equal(got, x + q.astype(np.float32) * np.float32(0.1))


@pytest.mark.parametrize("rest", [False, True])
def test_copies(rest: bool) -> None:
    m = Builder(minor=1)
    chain = Chain(m, np.random.default_rng(3), 2, (1, 4, 6, 10), 1)
    value, q = chain.i16_input()
    to = m.value("i16", (1, 2, 3, 9 if rest else 4), scale=0.5)
    m.copy(value, to, (0, 0, 1, 2), (1, 2, 2, 2), (1, 2, 3, 4), 3 if rest else 0, rest)
    want = np.zeros((2, 1, 2, 3, 9 if rest else 4), np.int64)
    want[..., 3 if rest else 0 :][..., :4] = q[:, :, ::2, 1::2, 2:9:2]
    chain.dims = (1, 2, 3, want.shape[-1])
    chain.written = [(to, want)]
    chain.check("portable", 2)


def broken(change: Any, minor: int = 1) -> str:
    m = Builder(minor=minor)
    source = m.value("f32", (1, 1, 1, 40), role="input", axes=(4,))
    bits = m.value("bits", (1, 1, 1, 40))
    q = m.value("i16", (1, 1, 1, 3), scale=0.5)
    y = m.value("f32", (1, 1, 1, 3), role="output", axes=(4,))
    m.map(source, [b.store_bits(bits)])
    i16 = m.constant(np.array([1, 2, 3], np.int32))
    wide = m.constant(np.array([1, -32768, 40000], np.int32))
    first = b.fixed(i16, i16)
    steps = [first, b.store_i16(q)]
    weight = m.constant(b.pack(np.ones((3, 1, 40), bool)))
    last = [b.store(y)]
    steps, last = change(m, steps, last, wide, i16, q) or (steps, last)
    m.bconv(bits, weight, 3, (1, 1, 1), Geometry(), steps)
    m.map(q, last)
    with pytest.raises(ModelError) as info:
        Session(m.file())
    return str(info.value)


HOSTILE: list[tuple[Any, str]] = [
    (
        lambda m, s, t, wide, ok, q: ([b.fixed(wide, ok), *s[1:]], t),
        "factor constant 1: element 1 is -32768, -32767 to 32767",
    ),
    (
        lambda m, s, t, wide, ok, q: ([b.fixed(ok, wide), *s[1:]], t),
        "offset constant 1: element 2 is 40000, -32768 to 32767",
    ),
    (
        lambda m, s, t, wide, ok, q: ([b.fixed(ok, ok, 10), *s[1:]], t),
        "40 products shifted left by 10 do not fit 16 bits",
    ),
    (lambda m, s, t, wide, ok, q: ([b.fixed(ok, ok, 16), *s[1:]], t), "n 16, two shifts of 0 to 15 are expected"),
    (lambda m, s, t, wide, ok, q: ([s[0], b.affine(), s[1]], t), "step 1 (AFFINE): a float step after an i16 step"),
    (lambda m, s, t, wide, ok, q: ([s[1]], t), "step 0 (STORE_I16): an i16 step needs FIXED or QUANTIZE_I16 before it"),
    (lambda m, s, t, wide, ok, q: ([s[0], b.quantize_i16(1.0), s[1]], t), "step 1 (QUANTIZE_I16): follows an i16 step"),
    (lambda m, s, t, wide, ok, q: (s, [b.fixed(ok, ok), *t]), "step 0 (FIXED): is the first step of a BCONV only"),
    (lambda m, s, t, wide, ok, q: (s, [b.bias_i16(ok), *t]), "step 1 (STORE): a float step after an i16 step"),
    (lambda m, s, t, wide, ok, q: ([b.quantize_i16(0.0), s[1]], t), "factor 0, a finite number > 0 is expected"),
    (lambda m, s, t, wide, ok, q: ([s[0], b.clamp_i16(3, 2), s[1]], t), "lower bound 3 is not <= upper bound 2"),
    (lambda m, s, t, wide, ok, q: ([s[0], b.clamp_i16(0, 32768), s[1]], t), "bound 32768, an integer of 16 bits"),
    (lambda m, s, t, wide, ok, q: ([s[0], b.prelu_i16(ok, 16), s[1]], t), "n 16, a shift of 0 to 15 is expected"),
    (lambda m, s, t, wide, ok, q: ([s[0], b.store(q)], t), "step 1 (STORE): a float step after an i16 step"),
    (
        lambda m, s, t, wide, ok, q: ([b.store(q), s[1]], t),
        "step 0 (STORE): step value 2 has dtype i16, f32 is expected",
    ),
    (lambda m, s, t, wide, ok, q: setattr(m.values[q], "scale", 0.0), "value 2: scale 0 of an i16 value"),
    (lambda m, s, t, wide, ok, q: setattr(m.values[q], "scale", float("nan")), "value 2: scale nan of an i16 value"),
    (
        lambda m, *_: [setattr(m.values[2], "flags", 2), setattr(m.values[2], "axes", (4,))][2:],
        "value 2: a model output of dtype i16",
    ),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE, ids=[m for _, m in HOSTILE])
def test_hostile_records(change: Any, message: str) -> None:
    assert message in broken(change)


def test_a_file_that_says_it_is_older() -> None:
    assert "dtype i16 in a file of version 1.0, it came with 1.1" in broken(lambda *_: None, 0)
    m = Builder(minor=1)
    x = m.value("f32", (1, 1, 1, 1), role="input", axes=(4,))
    y = m.value("f32", (1, 1, 1, 1), role="output", axes=(4,))
    m.map(x, [b.store(y)])
    data = bytearray(m.file())
    assert Session(bytes(data)).run(np.ones((1, 1), np.float32)) == 1
    struct.pack_into("<H", data, 10, 2)
    with pytest.raises(ModelError, match="written by a newer bitwright"):
        Session(b.seal(data))
