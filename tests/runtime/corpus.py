"""Writes the fuzzer's corpus: `python -m tests.runtime.corpus native/fuzz/corpus` (from the checkout's root).

A new model needs its answers too: `python -m tests.runtime.golden`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from . import builder as b
from .builder import NONE, Builder, Geometry
from .test_reader import GOOD


def binary(geometry: Geometry, size: tuple[int, int, int], out: tuple[int, int, int], low: int, name: str) -> bytes:
    """Pack, convolve with a residual and the next layer's bits, a threshold layer after it."""
    random = np.random.default_rng(len(name))
    channels, outputs = 6 * geometry.groups, 10 * geometry.groups
    m = Builder(meta={"name": name})
    x = m.value("f32", (*size, channels), role="input", name="x", axes=(1, 2, 3, 4))
    bits = m.value("bits", (*size, channels), geometry.groups)
    skip = m.value("f32", (*out, outputs), role="input", name="skip", axes=(4, 1, 2, 3))
    y = m.value("f32", (*out, outputs), role="output", name="y", axes=(4, 2, 3, 1))
    odd = m.value("bits", (*out, outputs), 2)
    last = m.value("bits", (*out, outputs), 1)
    z = m.value("f32", (*out, outputs), role="output", name="z", axes=(1, 2, 3, 4))
    gate = m.value("f32", (1, 1, 1, outputs), role="input", name="gate", axes=(4,))
    taps = int(np.prod(geometry.kernel))
    m.map(x, [b.clamp(-2, 2), b.store_bits(bits, p0=0.25)])
    scale = m.constant(random.standard_normal(outputs).astype(np.float32))
    steps = [
        b.affine(scale, scale),
        b.add(skip),
        b.unary(3),
        b.mul(gate, gate=True),
        b.store(y),
        b.store_bits(odd, scale),
    ]
    weight = b.pack(random.random((outputs, taps, channels // geometry.groups)) < 0.5)
    m.bconv(bits, m.constant(weight), outputs, out, geometry, steps, low)
    limit = m.constant(random.integers(-3, 4, outputs).astype(np.int32))
    flip = m.constant(b.pack(random.random(outputs) < 0.5))
    weight = b.pack(random.random((outputs, 1, outputs // 2)) < 0.5)
    m.bconv(odd, m.constant(weight), outputs, out, Geometry(groups=2), [b.threshold(last, limit, flip)])
    m.map(last, [b.store(z)])
    return m.file()


def floats() -> bytes:
    """Float convolutions (transposed, replicated edges), all poolings, strided copies."""
    random = np.random.default_rng(9)
    m = Builder()
    x = m.value("f32", (1, 5, 6, 4), role="input", name="x", axes=(4, 2, 3))
    up = m.value("f32", (1, 10, 12, 6))
    edge = m.value("f32", (1, 10, 12, 4))
    pooled = [m.value("f32", (1, 5, 6, 4)) for _ in range(3)]
    joined = m.value("f32", (1, 3, 3, 14), role="output", name="joined", axes=(2, 3, 4))
    g = Geometry((1, 3, 3), (1, 2, 2), pad_begin=(0, 1, 1), transposed=True)
    m.fconv(x, m.constant(random.random((6, 9, 4)).astype(np.float32)), 6, (1, 10, 12), g, [b.unary(9), b.store(up)])
    g = Geometry((1, 3, 3), dilation=(1, 2, 1), pad_begin=(0, 2, 1), pad_end=(0, 2, 1), groups=2, pad_mode=3)
    weight = m.constant(random.random((4, 9, 3)).astype(np.float32))
    m.fconv(up, weight, 4, (1, 10, 12), g, [b.prelu(p0=0.5), b.store(edge)])
    for kind, value in enumerate(pooled, 1):
        g = Geometry((1, 3, 3), (1, 2, 2), pad_begin=(0, 1, 1), pad_end=(0, 0, 0))
        m.pool(edge, kind, (1, 5, 6), g, [b.store(value)])
    for i, value in enumerate(pooled):
        m.copy(value, joined, (0, 0, 0, 0), (1, 2, 2, 1), (1, 3, 3, 4), 4 * i)
    m.copy(x, joined, (0, 1, 2, 1), (1, 1, 1, 2), (1, 3, 3, 2), 12)
    return m.file()


def sequence() -> bytes:
    """Steps of a sequence stacked pixel by pixel, cut in two pieces of a pixel each, and one of them picked."""
    m = Builder(minor=1)
    steps = [m.value("f32", (1, 1, 1, 5), role="input", name=f"x{t}", axes=(4,)) for t in range(3)]
    y = m.value("f32", (1, 1, 3, 5), role="output", name="y", axes=(3, 4))
    last = m.value("f32", (1, 1, 1, 5), role="output", name="last", axes=(4,))
    for t in (2, 0, 1):  # in any order
        for first, width in ((0, 2), (2, 3)):
            m.copy(steps[t], y, (0, 0, 0, first), (1, 1, 1, 1), (1, 1, 1, width), 5 * t + first)
    m.copy(y, last, (0, 0, 2, 0), (1, 1, 1, 1), (1, 1, 1, 5))
    return m.file()


def dense() -> bytes:
    """A vector network: binary dense, float dense, counts of 32 bits would not change its shape."""
    random = np.random.default_rng(11)
    m = Builder()
    x = m.value("f32", (1, 1, 1, 70), role="input", name="x", axes=(4,))
    bits = m.value("bits", (1, 1, 1, 70))
    hidden = m.value("bits", (1, 1, 1, 45))
    mapped = m.value("f32", (1, 1, 1, 45))
    y = m.value("f32", (1, 1, 1, 3), role="output", name="y", axes=(4,))
    m.map(x, [b.store_bits(bits)])
    weight = m.constant(b.pack(random.random((45, 1, 70)) < 0.5))
    m.bconv(bits, weight, 45, (1, 1, 1), Geometry(), [b.threshold(hidden, m.constant(np.zeros(45, np.int32)))])
    m.map(hidden, [b.store(mapped)])
    m.fconv(mapped, m.constant(random.random((3, 1, 45)).astype(np.float32)), 3, (1, 1, 1), Geometry(), [b.store(y)])
    return m.file()


def pooled_bits() -> bytes:
    """1-bit weights of a float convolution, bits pooled in groups with flips, read by a grouped convolution."""
    random = np.random.default_rng(13)
    m = Builder()
    x = m.value("f32", (1, 6, 7, 10), role="input", name="x", axes=(4, 2, 3))
    bits = m.value("bits", (1, 6, 7, 70), 2)
    pooled = m.value("bits", (1, 4, 4, 70), 2)
    y = m.value("f32", (1, 4, 4, 6), role="output", name="y", axes=(4, 2, 3))
    same = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    weight = m.constant(b.pack(random.random((70, 9, 10)) < 0.5))
    scale = m.constant(random.standard_normal(70).astype(np.float32))
    m.fconv(x, weight, 70, (1, 6, 7), same, [b.affine(scale, scale), b.store_bits(bits)])
    g = Geometry((1, 3, 3), (1, 2, 2), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    m.bpool(bits, pooled, g, m.constant(b.pack(random.random(70) < 0.5)))
    weight = m.constant(b.pack(random.random((6, 1, 35)) < 0.5))
    m.bconv(pooled, weight, 6, (1, 4, 4), Geometry(groups=2), [b.store(y)])
    return m.file()


def fixed() -> bytes:
    """A residual block on i16 values: quantized floats, FIXED behind a binary convolution, pools, maps and copies of
    i16."""
    random = np.random.default_rng(17)
    m = Builder(minor=1)
    dims, channels = (1, 4, 5), 40
    x = m.value("f32", (*dims, channels), role="input", name="x", axes=(4, 2, 3))
    bits, next_bits = m.value("bits", (*dims, channels)), m.value("bits", (*dims, channels), 2)
    skip, y = m.value("i16", (*dims, channels), scale=0.25), m.value("i16", (*dims, channels), scale=0.25)
    pooled, half = m.value("i16", (1, 2, 2, channels), scale=0.25), m.value("i16", (1, 2, 2, channels), scale=0.25)
    joined = m.value("i16", (1, 2, 2, 2 * channels), scale=0.25)
    mean = m.value("f32", (1, 1, 1, 2 * channels), role="output", name="mean", axes=(4,))
    real = m.value("f32", (*dims, channels), role="output", name="real", axes=(4, 2, 3))

    def shorts(low: int, high: int) -> int:
        return m.constant(random.integers(low, high, channels).astype(np.int32))

    m.map(x, [b.store_bits(bits), b.affine(p0=2.0), b.quantize_i16(4.0), b.clamp_i16(-999, 999), b.store_i16(skip)])
    same = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    steps = [
        b.fixed(shorts(-32767, 32768), shorts(-99, 99), 5, 1),
        b.add_i16(skip),
        b.bias_i16(shorts(-99, 99)),
        b.prelu_i16(shorts(-32767, 32768), 1),
        b.store_i16(y),
        b.store_bits_i16(next_bits, shorts(-99, 99), m.constant(b.pack(random.random(channels) < 0.5))),
    ]
    weight = b.pack(random.random((channels, 9, channels)) < 0.5)
    m.bconv(bits, m.constant(weight), channels, dims, same, steps)
    two = Geometry((1, 2, 2), (1, 2, 2))
    m.pool(y, 1, (1, 2, 2), two, [b.bias_i16(shorts(-9, 9)), b.store_i16(pooled)])
    m.pool(y, 2, (1, 2, 2), two, [b.quantize_i16(4.0), b.store_i16(half)])
    m.copy(pooled, joined, (0, 0, 0, 0), (1, 1, 1, 1), (1, 2, 2, channels), 0)
    m.copy(half, joined, (0, 0, 0, 0), (1, 1, 1, 1), (1, 2, 2, channels), channels)
    m.pool(joined, 3, (1, 1, 1), Geometry((1, 2, 2)), [b.store(mean)])
    m.map(next_bits, [b.add(y), b.store(real)])
    return m.file()


def levels() -> bytes:
    """Activations of 2 and 3 bit planes: a convolution, a grouped one with groups inside words, a threshold."""
    random = np.random.default_rng(19)
    m = Builder(minor=1)
    dims, channels, middle = (1, 4, 5), 10, 70
    x = m.value("f32", (*dims, channels), role="input", name="x", axes=(4, 2, 3))
    two = m.value("bits", (*dims, channels), planes=2)
    three = m.value("bits", (*dims, middle), 2, planes=3)
    last = m.value("bits", (*dims, 6))
    y = m.value("f32", (*dims, 6), role="output", name="y", axes=(4, 2, 3))
    gain = m.constant(random.standard_normal(middle).astype(np.float32))
    same = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    edge = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), groups=2, pad_mode=3)
    m.map(x, [b.store_levels(two, 2, p0=3.0)])
    weight = m.constant(b.pack(random.random((middle, 9, channels)) < 0.5))
    m.bconv(two, weight, middle, dims, same, [b.affine(p0=0.25), b.store_levels(three, 3, gain, gain)], 1)
    weight = m.constant(b.pack(random.random((6, 9, middle // 2)) < 0.5))
    limit = m.constant(random.integers(-9, 9, 6).astype(np.int32))
    m.bconv(three, weight, 6, dims, edge, [b.threshold(last, limit)], 1)
    m.map(last, [b.store(y)])
    return m.file()


def int8() -> bytes:
    """Pixels to an int8 stem, pooled and copied bytes, a depthwise and a grouped convolution, a dense head, bits."""
    random = np.random.default_rng(17)

    def weight(*shape: int) -> int:
        return m.constant(random.integers(-128, 128, shape).astype(np.int8))

    m = Builder()
    x = m.value("u8", (1, 9, 10, 3), role="input", name="x", axes=(4, 2, 3), scale=0.02, zero=121)
    stem = m.value("u8", (1, 5, 5, 36), scale=0.5, zero=3)
    wide = m.value("u8", (1, 5, 5, 40), scale=0.5, zero=3)
    deep = m.value("u8", (1, 5, 5, 40), scale=0.25, zero=90)
    mapped = m.value("f32", (1, 5, 5, 40))
    pooled = m.value("u8", (1, 2, 2, 40), scale=0.25, zero=0)
    bits = m.value("bits", (1, 9, 10, 3))
    y = m.value("f32", (1, 1, 1, 5), role="output", name="y", axes=(4,))
    z = m.value("f32", (1, 9, 10, 3), role="output", name="z", axes=(4, 2, 3))
    g = Geometry((1, 7, 7), (1, 2, 2), pad_begin=(0, 3, 3), pad_end=(0, 3, 3))
    padding = m.constant(random.integers(-9000, 9000, (49, 36)).astype(np.int32))
    m.qconv(x, weight(36, 49, 3), 36, (1, 5, 5), g, [b.affine(p0=0.001), b.store_u8(stem, 2.0)], padding)
    m.copy(stem, wide, (0, 0, 0, 0), (1, 1, 1, 1), (1, 5, 5, 36), 4, zero_rest=True)
    same = {"pad_begin": (0, 1, 1), "pad_end": (0, 1, 1)}
    depthwise = Geometry((1, 3, 3), groups=40, pad_mode=3, **same)
    m.qconv(wide, weight(40, 9, 1), 40, (1, 5, 5), depthwise, [b.affine(p0=0.001), b.store_u8(deep, 4.0)])
    m.qconv(deep, weight(40, 9, 10), 40, (1, 5, 5), Geometry((1, 3, 3), groups=4, **same), [b.store(mapped)])
    m.pool(deep, 2, (1, 2, 2), Geometry((1, 2, 2), (1, 2, 2)), [b.store_u8(pooled, 4.0)])
    m.qconv(pooled, weight(5, 4, 40), 5, (1, 1, 1), Geometry((1, 2, 2)), [b.store(y)])
    m.map(x, [b.store_bits(bits, p0=0.1)])
    m.map(bits, [b.store(z)])
    return m.file()


def depthwise() -> bytes:
    """Depthwise binary convolutions on bits packed as one group: floats from two outputs a channel, and thresholds."""
    random = np.random.default_rng(19)
    m = Builder(minor=1)
    x = m.value("f32", (1, 5, 6, 40), role="input", name="x", axes=(4, 2, 3))
    bits, next_bits = m.value("bits", (1, 5, 6, 40)), m.value("bits", (1, 5, 6, 40))
    y = m.value("f32", (1, 3, 3, 80), role="output", name="y", axes=(4, 2, 3))
    m.map(x, [b.store_bits(bits)])
    same = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), groups=40)
    limits = m.constant(random.integers(-9, 9, 40).astype(np.int32))
    weight = m.constant(b.pack(random.random((1, 9, 40)) < 0.5))
    m.bconv(bits, weight, 40, (1, 5, 6), same, [b.threshold(next_bits, limits)])
    half = Geometry((1, 3, 3), (1, 2, 2), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), groups=40)
    m.bconv(next_bits, m.constant(b.pack(random.random((2, 9, 40)) < 0.5)), 80, (1, 3, 3), half, [b.store(y)])
    return m.file()


def attention() -> bytes:
    """Two heads of binary attention: scores of bits, a threshold in place of the softmax, their product with V."""
    random = np.random.default_rng(23)
    m = Builder(minor=1)
    tokens, heads, width = 7, 2, 20
    dims = (1, 1, tokens, heads * width)
    q, k, v = (m.value("f32", dims, role="input", name=name, axes=(3, 4)) for name in "qkv")
    bits = [m.value("bits", dims, heads) for _ in range(3)]
    mask = m.value("bits", (1, 1, tokens, heads * tokens), heads)
    levels = m.value("bits", (1, 1, tokens, heads * tokens), heads, planes=2)
    y = m.value("f32", dims, role="output", name="y", axes=(3, 4))
    z = m.value("f32", dims, role="output", name="z", axes=(3, 4))
    for x, b_ in zip((q, k, v), bits, strict=True):
        m.map(x, [b.store_bits(b_)])
    bias = m.constant(random.standard_normal(heads * tokens).astype(np.float32))
    scores = [b.affine(NONE, bias, 0.25), b.store_bits(mask), b.store_levels(levels, 2, p0=0.5, p1=1.0)]
    m.bmatmul(bits[0], bits[1], scores)
    m.bmatmul(mask, bits[2], [b.store(y)], 1, True)
    m.bmatmul(levels, bits[2], [b.affine(p0=0.5), b.store(z)], 1, True)
    return m.file()


def corpus() -> dict[str, bytes]:
    same = {"pad_begin": (0, 1, 1), "pad_end": (0, 1, 1)}
    return {
        "all_ops.bwm": GOOD,
        "zero_padding.bwm": binary(Geometry((1, 3, 3), **same), (1, 4, 5), (1, 4, 5), 0, "zero"),
        "grouped_edge.bwm": binary(Geometry((1, 3, 3), groups=3, pad_mode=3, **same), (1, 4, 5), (1, 4, 5), 0, "edge"),
        "unipolar_3d.bwm": binary(Geometry((2, 2, 2), pad_mode=1, pad_begin=(1, 0, 0)), (2, 3, 3), (2, 2, 2), 1, "one"),
        "transposed.bwm": binary(
            Geometry((1, 3, 3), (1, 2, 2), pad_begin=(0, 1, 1), transposed=True), (1, 3, 3), (1, 6, 6), 0, "up"
        ),
        "floats.bwm": floats(),
        "dense.bwm": dense(),
        "depthwise.bwm": depthwise(),
        "pooled_bits.bwm": pooled_bits(),
        "fixed.bwm": fixed(),
        "levels.bwm": levels(),
        "int8.bwm": int8(),
        "attention.bwm": attention(),
        "sequence.bwm": sequence(),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in corpus().items():
        (folder / name).write_bytes(data)
