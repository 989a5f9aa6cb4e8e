"""BCONV and FCONV against the element-by-element reference, on every kernel that this machine has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitwright.runtime import Session, functional

from . import builder as b
from .builder import Builder, Geometry
from .reference import conv
from .strategies import ISAS, Case, cases, depthwise_cases, odd_cases

EXAMPLES = settings(max_examples=120, deadline=None)


def pad_value(case: Case) -> float:
    return {0: 0.0, 1: 1.0, 2: 0.0 if case.low else -1.0, 3: 0.0}[case.geometry.pad_mode]


def binary_numbers(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations (float, before the sign), weight bits, and the exact accumulators."""
    random = case.random()
    x = random.standard_normal((case.batch, *case.size, case.channels), dtype=np.float32)
    taps = int(np.prod(case.geometry.kernel))
    weight = random.random((case.outputs, taps, case.channels // case.geometry.groups)) < 0.5
    levels = np.where(x >= 0, 1.0, 0.0 if case.low else -1.0)
    return x, weight, conv(levels, np.where(weight, 1.0, -1.0), case.out, case.geometry, pad_value(case))


def binary_model(case: Case, weight: np.ndarray) -> tuple[Builder, int, int]:
    m = Builder()
    x = m.value("f32", (*case.size, case.channels), role="input")
    bits = m.value("bits", (*case.size, case.channels), case.geometry.groups)
    m.map(x, [b.store_bits(bits)])
    return m, bits, m.constant(b.pack(weight))


@EXAMPLES
@given(cases())
def test_binary_accumulators_are_exact(case: Case) -> None:
    x, weight, expected = binary_numbers(case)
    m, bits, constant = binary_model(case, weight)
    y = m.value("f32", (*case.out, case.outputs), role="output")
    m.bconv(bits, constant, case.outputs, case.out, case.geometry, [b.store(y)], case.low)
    np.testing.assert_array_equal(Session(m.file(), case.threads, case.isa).run(x), expected)


@settings(max_examples=400, deadline=None)
@given(st.one_of(cases(), odd_cases()), st.sampled_from([1, 2, 3]))
def test_binary_thresholds_are_exact(case: Case, wanted_groups: int) -> None:
    """THRESHOLD with flips and limits beyond the range, packed for a next layer of any number of groups."""
    x, weight, acc = binary_numbers(case)
    random = case.random()
    groups = wanted_groups if case.outputs % wanted_groups == 0 else 1
    limit = random.integers(-12, 13, case.outputs).astype(np.int32)
    limit[0] = 2**31 - 1
    limit[-1] = -(2**31)
    flip = random.random(case.outputs) < 0.5
    m, bits, constant = binary_model(case, weight)
    out_bits = m.value("bits", (*case.out, case.outputs), groups)
    y = m.value("f32", (*case.out, case.outputs), role="output")
    steps = [b.threshold(out_bits, m.constant(limit), m.constant(b.pack(flip)))]
    m.bconv(bits, constant, case.outputs, case.out, case.geometry, steps, case.low)
    m.map(out_bits, [b.store(y)])
    expected = np.where((acc >= limit) ^ flip, 1.0, -1.0)
    np.testing.assert_array_equal(Session(m.file(), case.threads, case.isa).run(x), expected)


@EXAMPLES
@given(cases(), st.sampled_from([1, 2, 3]))
def test_binary_epilogue_with_residual_and_next_bits(case: Case, wanted_groups: int) -> None:
    """A residual block's tail: scale, bias, add, the float map stored and the next layer's bits."""
    x, weight, acc = binary_numbers(case)
    random = case.random()
    groups = wanted_groups if case.outputs % wanted_groups == 0 else 1
    scale, bias, shift = (random.standard_normal(case.outputs).astype(np.float32) for _ in range(3))
    skip = random.standard_normal((case.batch, *case.out, case.outputs), dtype=np.float32)
    m, bits, constant = binary_model(case, weight)
    dims = (*case.out, case.outputs)
    residual = m.value("f32", dims, role="input")
    y, z = m.value("f32", dims, role="output"), m.value("f32", dims, role="output")
    next_bits = m.value("bits", dims, groups)
    m.bconv(
        bits,
        constant,
        case.outputs,
        case.out,
        case.geometry,
        [
            b.affine(m.constant(scale), m.constant(bias)),
            b.add(residual),
            b.store(y),
            b.store_bits(next_bits, m.constant(shift)),
        ],
        case.low,
    )
    m.map(next_bits, [b.store(z)])
    got_y, got_z = Session(m.file(), case.threads, case.isa).run(x, skip)
    expected = acc.astype(np.float32) * scale + bias + skip
    np.testing.assert_array_equal(got_y, expected)
    np.testing.assert_array_equal(got_z, np.where(expected >= shift, 1.0, -1.0))


def depthwise_model(case: Case, weight: np.ndarray) -> tuple[Builder, int, int]:
    """Bits packed as one group, weights `[O/C][taps][words]`."""
    m = Builder(minor=1)
    x = m.value("f32", (*case.size, case.channels), role="input")
    bits = m.value("bits", (*case.size, case.channels))
    m.map(x, [b.store_bits(bits)])
    rows = weight[..., 0].reshape(case.channels, -1, weight.shape[1]).transpose(1, 2, 0)
    return m, bits, m.constant(b.pack(np.ascontiguousarray(rows)))


@EXAMPLES
@given(depthwise_cases())
def test_depthwise_accumulators_are_exact(case: Case) -> None:
    """Also in the layout of version 1.0, with every channel in a word of its own."""
    x, weight, expected = binary_numbers(case)
    for m, bits, constant in (depthwise_model(case, weight), binary_model(case, weight)):
        y = m.value("f32", (*case.out, case.outputs), role="output")
        m.bconv(bits, constant, case.outputs, case.out, case.geometry, [b.store(y)], case.low)
        np.testing.assert_array_equal(Session(m.file(), case.threads, case.isa).run(x), expected)


POINT_BESIDE_PADDING = Geometry((1, 1, 1), pad_end=(0, 0, 1), groups=31)  # one tap: samples are laid out together


@EXAMPLES
@given(depthwise_cases(), st.sampled_from([1, 2, 0]))
@example(Case(POINT_BESIDE_PADDING, (1, 1, 1), (1, 1, 2), 31, 31, 2, 0, 1, "avx2", 0), 1)
def test_depthwise_thresholds_are_exact(case: Case, wanted_groups: int) -> None:
    x, weight, acc = binary_numbers(case)
    random = case.random()
    groups = case.outputs if wanted_groups == 0 else wanted_groups if case.outputs % wanted_groups == 0 else 1
    limit = random.integers(-12, 13, case.outputs).astype(np.int32)
    limit[0] = 2**31 - 1
    limit[-1] = -(2**31)
    flip = random.random(case.outputs) < 0.5
    m, bits, constant = depthwise_model(case, weight)
    out_bits = m.value("bits", (*case.out, case.outputs), groups)
    y = m.value("f32", (*case.out, case.outputs), role="output")
    flips = m.constant(b.pack(flip)) if random.random() < 0.7 else b.NONE
    steps = [b.threshold(out_bits, m.constant(limit), flips)]
    m.bconv(bits, constant, case.outputs, case.out, case.geometry, steps, case.low)
    m.map(out_bits, [b.store(y)])
    expected = np.where((acc >= limit) ^ (flip if flips != b.NONE else False), 1.0, -1.0)
    np.testing.assert_array_equal(Session(m.file(), case.threads, case.isa).run(x), expected)


def test_depthwise_needs_version_1_1_and_its_weights() -> None:
    def model(minor: int, elements: int, groups: int = 4) -> bytes:
        m = Builder(minor=minor)
        x = m.value("f32", (1, 3, 3, 4), role="input")
        bits = m.value("bits", (1, 3, 3, 4))
        y = m.value("f32", (1, 3, 3, 8), role="output")
        m.map(x, [b.store_bits(bits)])
        g = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), groups=groups)
        m.bconv(bits, m.constant(np.zeros(elements, np.uint32)), 8, (1, 3, 3), g, [b.store(y)])
        return m.file()

    Session(model(1, 18))
    with pytest.raises(ValueError, match=r"version 1\.0, it came with 1\.1"):
        Session(model(0, 18))
    with pytest.raises(ValueError, match="72 elements, 18 are expected"):
        Session(model(1, 72))
    with pytest.raises(ValueError, match="2 groups, but its input is packed in 1"):
        Session(model(1, 72, 2))


@EXAMPLES
@given(cases(binary=False), st.booleans())
def test_float_convolution(case: Case, with_bits: bool) -> None:
    """Small integers, so that every order of summation gives the same floats."""
    random = case.random()
    x = random.integers(-8, 9, (case.batch, *case.size, case.channels)).astype(np.float32)
    taps = int(np.prod(case.geometry.kernel))
    weight = random.integers(-8, 9, (case.outputs, taps, case.channels // case.geometry.groups)).astype(np.float32)
    expected = conv(x, weight, case.out, case.geometry)
    m = Builder()
    dims = (*case.out, case.outputs)
    source = m.value("f32", (*case.size, case.channels), role="input")
    y, z = m.value("f32", dims, role="output"), m.value("f32", dims, role="output")
    bits = m.value("bits", dims, case.geometry.groups)
    steps = [b.store(y)] + ([b.store_bits(bits, p0=3.0)] if with_bits else [])
    m.fconv(source, m.constant(weight), case.outputs, case.out, case.geometry, steps)
    if not with_bits:
        m.map(y, [b.store_bits(bits, p0=3.0)])
    m.map(bits, [b.store(z)])
    got_y, got_z = Session(m.file(), case.threads, case.isa).run(x)
    np.testing.assert_array_equal(got_y, expected)
    np.testing.assert_array_equal(got_z, np.where(expected >= 3, 1.0, -1.0))


@EXAMPLES
@given(cases(binary=False))
def test_float_convolution_with_packed_weights(case: Case) -> None:
    """1-bit weights of a float convolution: the same as ±1 floats, for every row length and group."""
    random = case.random()
    x = random.integers(-8, 9, (case.batch, *case.size, case.channels)).astype(np.float32)
    taps = int(np.prod(case.geometry.kernel))
    weight = random.random((case.outputs, taps, case.channels // case.geometry.groups)) < 0.5
    scale = random.standard_normal(case.outputs).astype(np.float32)
    expected = conv(x, np.where(weight, 1.0, -1.0), case.out, case.geometry)
    m = Builder()
    dims = (*case.out, case.outputs)
    source = m.value("f32", (*case.size, case.channels), role="input")
    y, z = m.value("f32", dims, role="output"), m.value("f32", dims, role="output")
    packed = m.constant(b.pack(weight))
    m.fconv(source, packed, case.outputs, case.out, case.geometry, [b.affine(m.constant(scale)), b.store(y)])
    floats = m.constant(np.where(weight, np.float32(1), np.float32(-1)))
    m.fconv(source, floats, case.outputs, case.out, case.geometry, [b.store(z)])
    session = Session(m.file(), case.threads, case.isa)
    got_y, got_z = session.run(x)
    np.testing.assert_array_equal(got_y, expected.astype(np.float32) * scale)
    np.testing.assert_array_equal(got_z, expected)
    assert [op["weight_bytes"] for op in session.ops()] == [b.pack(weight).nbytes, weight.size * 4]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [32, 37])
def test_dense_layer_with_packed_weights(isa: str, channels: int) -> None:
    """A kernel that covers the map: rows of the taps follow each other without their tail bits."""
    random = np.random.default_rng(channels)
    x = random.integers(-8, 9, (5, 1, 3, 4, channels)).astype(np.float32)
    weight = random.random((19, 12, channels)) < 0.5
    m = Builder()
    source = m.value("f32", (1, 3, 4, channels), role="input")
    y = m.value("f32", (1, 1, 1, 19), role="output", axes=(4,))
    m.fconv(source, m.constant(b.pack(weight)), 19, (1, 1, 1), Geometry((1, 3, 4)), [b.store(y)])
    expected = x.reshape(5, -1) @ np.where(weight, 1.0, -1.0).reshape(19, -1).T
    np.testing.assert_array_equal(Session(m.file(), 1, isa).run(x), expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("size", "channels", "outputs"), [((1, 4, 5), 40, 70), ((1, 1, 1), 3000, 10), ((1, 3, 3), 512, 130)]
)
@pytest.mark.parametrize("batch", [1, 19])
def test_dense_layers(isa: str, size: tuple[int, int, int], channels: int, outputs: int, batch: int) -> None:
    """A kernel that covers the map, also where counts need 32 bits and where batches span micro-batches."""
    case = Case(Geometry(kernel=size), size, (1, 1, 1), channels, outputs, batch, 0, 2, isa, 7)
    x, weight, expected = binary_numbers(case)
    m, bits, constant = binary_model(case, weight)
    y = m.value("f32", (1, 1, 1, outputs), role="output", axes=(4,))
    m.bconv(bits, constant, outputs, (1, 1, 1), case.geometry, [b.store(y)])
    np.testing.assert_array_equal(Session(m.file(), 2, isa).run(x), expected.reshape(batch, outputs))


@pytest.mark.parametrize("isa", ISAS)
def test_counts_beyond_16_bits(isa: str) -> None:
    """K = 9 * 8192 > 65535, with padding, so that origins and limits are beyond 16 bits too."""
    geometry = Geometry(kernel=(1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    case = Case(geometry, (1, 2, 2), (1, 2, 2), 8192, 40, 1, 0, 1, isa, 3)
    random = case.random()
    x = np.ones((1, 1, 2, 2, 8192), np.float32)
    weight = random.random((40, 9, 8192)) < 0.02  # nearly all products are -1
    expected = conv(x, np.where(weight, 1.0, -1.0), case.out, geometry)
    assert np.abs(expected).max() > 30000
    m, bits, constant = binary_model(case, weight)
    y = m.value("f32", (*case.out, 40), role="output")
    out_bits = m.value("bits", (*case.out, 40))
    z = m.value("f32", (*case.out, 40), role="output")
    limit = expected[0, 0, 0, 0].astype(np.int32) + np.arange(40, dtype=np.int32) % 3 - 1
    m.bconv(bits, constant, 40, case.out, geometry, [b.store(y)])
    m.bconv(bits, constant, 40, case.out, geometry, [b.threshold(out_bits, m.constant(limit))])
    m.map(out_bits, [b.store(z)])
    got_y, got_z = Session(m.file(), 1, isa).run(x)
    np.testing.assert_array_equal(got_y, expected)
    np.testing.assert_array_equal(got_z, np.where(expected >= limit, 1.0, -1.0))


@EXAMPLES
@given(cases())
def test_functional_binary_conv(case: Case) -> None:
    x, weight, expected = binary_numbers(case)
    g = case.geometry
    extra, end = [0, 0, 0], list(g.pad_end)
    if g.transposed:  # the file carries the output's size; here it is padding at the end and output padding
        for k in range(3):
            full = (case.size[k] - 1) * g.stride[k] + g.dilation[k] * (g.kernel[k] - 1) + 1 - g.pad_begin[k]
            extra[k], end[k] = max(0, case.out[k] - full), max(0, full - case.out[k])
    packed = b.pack(weight)
    y = functional.binary_conv(
        x,
        packed if case.seed % 2 else packed.view(np.uint8),
        0.0 if case.seed % 3 else np.zeros(case.channels, np.float32),
        out_channels=case.outputs,
        kernel=g.kernel,
        stride=g.stride,
        dilation=g.dilation,
        pad_begin=g.pad_begin,
        pad_end=end,
        groups=g.groups,
        pad_mode="edge" if g.pad_mode == 3 else "constant",
        pad_value=pad_value(case),
        low=0.0 if case.low else -1.0,
        transposed=g.transposed,
        output_padding=extra,
        threads=case.threads,
        engine_kernel=case.isa,
    )
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected)
