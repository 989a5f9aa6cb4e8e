"""QCONV's `padding`: what each tap in the padding adds, against numpy in int64, on every kernel of this machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings

from bitwright.compiler.bwm_read import read
from bitwright.compiler.errors import BwmFormatError
from bitwright.runtime import ModelError, Session

from . import builder as b
from .builder import Builder, Geometry
from .reference import conv
from .strategies import Case, cases
from .test_int8 import depthwise, int8_numbers

EXAMPLES = settings(max_examples=120, deadline=None)


def check(case: Case) -> None:
    g = case.geometry
    assume(g.pad_mode == 0 and not g.transposed)
    x, weight, zero, inside = int8_numbers(case)
    taps, row = weight.shape[1:]
    random = case.random()
    limit = 255 * 128 * row
    padding = random.integers(-limit, limit + 1, (taps, case.outputs)).astype(np.int32)
    # all taps' numbers, less those of the taps inside the map: a convolution of ones
    ones = np.ones((1, *case.size, 1), np.int64)
    present = conv(ones, padding.T[:, :, None].astype(np.int64), case.out, replace(g, groups=1))
    expected = inside + padding.sum(axis=0, dtype=np.int64) - present
    m = Builder()
    source = m.value("u8", (*case.size, case.channels), role="input", scale=0.5, zero=zero)
    y = m.value("f32", (*case.out, case.outputs), role="output")
    m.qconv(source, m.constant(weight), case.outputs, case.out, g, [b.store(y)], m.constant(padding))
    got = Session(m.file(), case.threads, case.isa).run(x)
    np.testing.assert_array_equal(got, expected.astype(np.float32))


@EXAMPLES
@given(cases(binary=False))
def test_padding_is_exact(case: Case) -> None:
    check(case)


@EXAMPLES
@given(depthwise())
def test_depthwise(case: Case) -> None:
    check(case)


def small(padding: np.ndarray, **change: object) -> bytes:
    m = Builder()
    g = replace(Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1)), **change)
    x = m.value("u8", (1, 4, 4, 2), role="input", scale=0.5, zero=7)
    y = m.value("f32", (1, 4, 4, 3), role="output")
    m.qconv(x, m.constant(np.ones((3, 9, 2), np.int8)), 3, (1, 4, 4), g, [b.store(y)], m.constant(padding))
    return m.file()


def test_hostile_files() -> None:
    good = np.full((9, 3), 255 * 128 * 2, np.int32)
    assert Session(small(good)).run(np.zeros((1, 1, 4, 4, 2), np.uint8)).shape == (1, 1, 4, 4, 3)
    assert read(small(good)).ops
    for file, words, python in (
        (small(good + 1), "element 0 is 65281, at most 65280", None),
        (small(-good - 1), "element 0 is -65281", None),
        (small(good[1:]), "has 24 elements, 27 are expected", "27 are needed"),
        (small(good.astype(np.float32)), "has dtype f32, i32 is expected", "27 are needed"),
        (small(good, pad_mode=3), "a padding constant, but pad_mode 3", "without zero padding"),
    ):
        with pytest.raises(ModelError, match=words):
            Session(file)
        if python is not None:
            with pytest.raises(BwmFormatError, match=python):
                read(file)
