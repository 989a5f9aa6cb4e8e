"""pack_bits and unpack_bits against one bit at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitwright.runtime import pack_bits, unpack_bits

from .builder import pack

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=70).filter(lambda s: np.prod(s) < 5000)
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(hnp.arrays(np.float32, SHAPES, elements=FLOATS), FLOATS)
def test_pack_with_one_threshold(x: np.ndarray, threshold: float) -> None:
    words = pack_bits(x, threshold)
    assert words.dtype == np.uint32
    np.testing.assert_array_equal(words, pack(x >= np.float32(threshold)))
    np.testing.assert_array_equal(unpack_bits(words, x.shape[-1]), x >= np.float32(threshold))


@given(hnp.arrays(np.float32, SHAPES, elements=FLOATS), st.data())
def test_pack_with_thresholds(x: np.ndarray, data: st.DataObject) -> None:
    threshold = data.draw(hnp.arrays(np.float32, x.shape[-1], elements=FLOATS))
    np.testing.assert_array_equal(pack_bits(x, threshold), pack(x >= threshold))
    np.testing.assert_array_equal(pack_bits(np.asfortranarray(x), threshold), pack(x >= threshold))


@given(hnp.arrays(np.bool_, SHAPES))
def test_pack_bools(x: np.ndarray) -> None:
    np.testing.assert_array_equal(pack_bits(x), pack(x))


def test_the_sign_of_zero_and_nan() -> None:
    x = np.array([0.0, -0.0, np.nan, -1e-45, 1e-45], np.float32)
    assert unpack_bits(pack_bits(x), 5).tolist() == [True, True, False, False, True]


def test_bad_arguments() -> None:
    x = np.ones((2, 40), np.float32)
    with pytest.raises(TypeError, match="x is float64"):
        pack_bits(x.astype(np.float64))
    with pytest.raises(ValueError, match=r"threshold has the shape \[39\]; a number or \[40\]"):
        pack_bits(x, np.zeros(39, np.float32))
    with pytest.raises(ValueError, match=r"x has the shape \[2, 0\]"):
        pack_bits(x[:, :0])
    with pytest.raises(ValueError, match=r"x has the shape \[\]"):
        pack_bits(np.float32(3))
    with pytest.raises(ValueError, match="a threshold makes no sense"):
        pack_bits(x > 0, 1.0)
    with pytest.raises(TypeError, match="words is int64"):
        unpack_bits(np.zeros((2, 2), np.int64), 40)
    with pytest.raises(ValueError, match=r"words has the shape \[2, 2\]; 65 channels need \[..., 3\]"):
        unpack_bits(np.zeros((2, 2), np.uint32), 65)
