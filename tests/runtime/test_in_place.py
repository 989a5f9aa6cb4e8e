"""Sums that are stored where their summand was: as if they lay elsewhere, by every kernel; and what may not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.runtime import ModelError, Session, kernels

from . import builder as b
from .builder import Builder, Geometry

KERNELS = ["", *(k["name"] for k in kernels() if k["operation"] in ("bconv", "epilogue") and k["supported"])]
OLD, NEW = 3, 4  # ids of the residual and of the sum


def block(
    size: int = 5, channels: int = 33, kernel: int = 3, fixed: bool = False, act: bool = False, seed: int = 0
) -> Builder:
    """A map y, its bits, y + conv(bits) as `NEW`, and the next bits; outputs: a sum with the next bits' convolution."""
    m = Builder(minor=1)
    random = np.random.default_rng(seed)
    pad = kernel // 2
    window = Geometry((1, kernel, kernel), pad_begin=(0, pad, pad), pad_end=(0, pad, pad))
    dims = (1, size, size, channels)
    number, more = ("i16", {"scale": 2.0**-6}) if fixed else ("f32", {})

    def floats() -> int:
        return m.constant(random.standard_normal(channels).astype(np.float32))

    def weight() -> int:
        return m.constant(b.pack(random.random((channels, kernel * kernel, channels)) < 0.5))

    x = m.value("f32", dims, role="input")
    out = m.value("f32", dims, role="output")
    bits = m.value("bits", dims)
    assert m.value(number, dims, **more) == OLD
    assert m.value(number, dims, **more) == NEW
    next_bits = m.value("bits", dims)
    if fixed:
        ints = m.constant(random.integers(-900, 900, channels).astype(np.int32))
        m.map(x, [b.quantize_i16(2.0**6), b.store_i16(OLD), b.store_bits_i16(bits, ints)])
        m.bconv(bits, weight(), channels, dims[:3], window,
                [b.fixed(ints, ints), b.add_i16(OLD), *([b.prelu_i16(ints)] if act else []), b.store_i16(NEW),
                 b.store_bits_i16(next_bits, ints)])  # fmt: skip
    else:
        m.map(x, [b.store(OLD), b.store_bits(bits, floats())])
        m.bconv(bits, weight(), channels, dims[:3], window,
                [b.affine(floats(), floats()), b.add(OLD), *([b.prelu(floats())] if act else []), b.store(NEW),
                 b.store_bits(next_bits, floats())])  # fmt: skip
    m.bconv(next_bits, weight(), channels, dims[:3], window, [b.add(NEW), b.store(out)])
    return m


def in_place(m: Builder) -> Builder:
    m.values[NEW].offset = m.values[OLD].offset
    return m


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_as_if_they_lay_elsewhere(data: st.DataObject) -> None:
    size, channels = data.draw(st.integers(1, 12)), data.draw(st.sampled_from([1, 7, 31, 32, 33, 64, 70, 96, 128, 200]))

    def made() -> Builder:
        return block(size, channels, window, fixed, act, seed)

    window, seed = data.draw(st.sampled_from([1, 3])), data.draw(st.integers(0, 99))
    fixed, act = data.draw(st.booleans()), data.draw(st.booleans())
    kernel, threads = data.draw(st.sampled_from(KERNELS)), data.draw(st.sampled_from([1, 2]))
    shape = (data.draw(st.integers(1, 4)), 1, size, size, channels)
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    want = Session(made().file(), kernel="portable").run(x)
    session = Session(in_place(made()).file(), kernel=kernel or None, threads=threads)
    for _ in range(2):  # nothing of a run stays for the next
        np.testing.assert_array_equal(session.run(x), want)


def test_profile_and_tuning_know_it() -> None:
    x = np.zeros((1, 1, 5, 5, 33), np.float32)
    session = Session(in_place(block()).file(), tune=True)
    assert len(session.profile(x, machine=False).ops) == 3


def read_later(m: Builder) -> None:
    y = m.value("f32", m.values[OLD].dims, role="output")
    m.map(OLD, [b.store(y)])


def with_steps(*steps: bytes) -> Callable[[Builder], None]:
    """Gives the first convolution other steps."""

    def change(m: Builder) -> None:
        m.bconv(2, 1, 33, (1, 5, 5), Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1)), steps)
        m.ops[1] = m.ops.pop()

    return change


def an_output(m: Builder) -> None:
    m.values[NEW].flags, m.values[NEW].name, m.values[NEW].axes = 2, "sum", (1, 2, 3, 4)


REFUSED: dict[str, Callable[[Builder], None]] = {
    "read by a later op": read_later,
    "read twice": with_steps(b.add(OLD), b.store(NEW), b.mul(OLD), b.store_bits(5)),
    "added twice": with_steps(b.add(OLD), b.add(OLD), b.store(NEW), b.store_bits(5)),
    "stored before it is added": with_steps(b.store(NEW), b.add(OLD), b.store_bits(5)),
    "multiplied": with_steps(b.mul(OLD), b.store(NEW), b.store_bits(5)),
    "an output": an_output,
    "of version 1.0": lambda m: setattr(m, "minor", 0),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(why: str) -> None:
    elsewhere, m = block(), in_place(block())
    REFUSED[why](elsewhere)
    REFUSED[why](m)
    Session(elsewhere.file())
    with pytest.raises(ModelError, match="overlap those of value"):
        Session(m.file())


def test_not_beside_it() -> None:
    m = block()
    m.values[NEW].offset = m.values[OLD].offset + 64
    with pytest.raises(ModelError, match="overlap those of value"):
        Session(m.file())


def test_only_a_binary_convolution() -> None:
    m = Builder(minor=1)
    dims = (1, 3, 3, 4)
    x = m.value("f32", dims, role="input")
    old, new = m.value("f32", dims), m.value("f32", dims)
    y = m.value("f32", dims, role="output")
    m.map(x, [b.store(old)])
    m.map(x, [b.add(old), b.store(new)])
    m.map(new, [b.store(y)])
    Session(m.file())
    m.values[new].offset = m.values[old].offset
    with pytest.raises(ModelError, match="overlap"):
        Session(m.file())
