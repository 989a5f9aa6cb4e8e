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


@given(st.sampled_from([np.int8, np.uint8, np.int16, np.float32]), SHAPES, st.data())
def test_every_type_and_stride(dtype: type, shape: tuple[int, ...], data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, np.prod(shape) * np.dtype(dtype).itemsize, np.uint8).view(dtype).reshape(shape)
    x = x.transpose(data.draw(st.permutations(range(x.ndim))))
    x = x[tuple(slice(None, None, data.draw(st.sampled_from([1, 1, 2, -1, -2]))) for _ in range(x.ndim))]
    threshold = np.random.default_rng(seed + 1).choice(x.reshape(-1), x.shape[-1])
    threads = data.draw(st.integers(0, 2))
    np.testing.assert_array_equal(pack_bits(x, threshold, threads=threads), pack(x >= threshold))
    np.testing.assert_array_equal(pack_bits(x, threshold[0], threads=threads), pack(x >= threshold[0]))
    out = np.full((*x.shape[:-1], (x.shape[-1] + 31) // 32), 7, np.uint32)
    assert pack_bits(x, threshold, out=out) is out
    np.testing.assert_array_equal(out, pack(x >= threshold))


def test_packed_records_and_unaligned_arrays() -> None:
    records = np.zeros(50, np.dtype([("a", np.uint8), ("x", np.float32), ("y", np.int16)]))
    records["x"], records["y"] = np.arange(50) - 20, np.arange(50) - 30
    np.testing.assert_array_equal(pack_bits(records["x"]), pack(np.arange(50) >= 20))
    np.testing.assert_array_equal(pack_bits(records["y"], 3), pack(np.arange(50) >= 33))
    np.testing.assert_array_equal(pack_bits(np.broadcast_to(np.int8(4), (3, 70)), 4), pack(np.ones((3, 70), bool)))
    assert pack_bits(np.zeros((0, 4), np.int8)).shape == (0, 1)


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
    with pytest.raises(TypeError, match="x is int64; float32, int8"):
        pack_bits(x.astype(np.int64))
    with pytest.raises(ValueError, match=r"threshold holds 200; x is int8, so an integer in \[-128, 127\]"):
        pack_bits(x.astype(np.int8), 200)
    with pytest.raises(ValueError, match=r"threshold holds 0.5; x is uint8, so an integer in \[0, 255\]"):
        pack_bits(x.astype(np.uint8), 0.5)
    with pytest.raises(ValueError, match="threshold holds nan"):
        pack_bits(x.astype(np.uint8), np.nan)
    with pytest.raises(TypeError, match="out is int32"):
        pack_bits(x, out=np.zeros((2, 2), np.int32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"out has the shape \[2, 3\]; a writable, C-contiguous \[2, 2\]"):
        pack_bits(x, out=np.zeros((2, 3), np.uint32))
    with pytest.raises(ValueError, match="threads is -1"):
        pack_bits(x, threads=-1)
    with pytest.raises(TypeError, match="words is int64"):
        unpack_bits(np.zeros((2, 2), np.int64), 40)
    with pytest.raises(ValueError, match=r"words has the shape \[2, 2\]; 65 channels need \[..., 3\]"):
        unpack_bits(np.zeros((2, 2), np.uint32), 65)
