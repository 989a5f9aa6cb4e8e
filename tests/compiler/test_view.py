"""Views: every reshape that is accepted means what numpy means by it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compiler.errors import Unsupported
from bitwright.compiler.meta import array_of
from bitwright.compiler.packing import pack_bits, unpack_bits, words_from_bytes
from bitwright.compiler.program import DType, Value
from bitwright.compiler.view import CHANNELS_FIRST, View, per_channel, reshaped, spatial_dims


def map_view(shape: tuple[int, ...]) -> tuple[View, np.ndarray]:  # type: ignore[type-arg]
    axes = CHANNELS_FIRST[len(shape)]
    dims = [1, 1, 1, 1]
    for axis, n in zip(axes, shape, strict=True):
        dims[axis[0] - 1] = n
    value = Value(DType.F32, (dims[0], dims[1], dims[2], dims[3]))
    view = View(value, axes)
    tensor = np.arange(2 * math.prod(shape), dtype=np.float32).reshape(2, *shape)
    return view, array_of(view.meaning("x"), value, tensor)


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@settings(max_examples=200, deadline=None)
@given(shapes, st.data())
def test_reshape_and_transpose_mean_what_numpy_means(shape: tuple[int, ...], data: st.DataObject) -> None:
    view, inside = map_view(shape)
    tensor = np.arange(2 * math.prod(shape), dtype=np.float32).reshape(2, *shape)
    for _ in range(3):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(len(view.axes))))
            view = view.with_axes(tuple(view.axes[i] for i in order))
            tensor = tensor.transpose(0, *(i + 1 for i in order))
        else:
            cuts = sorted(data.draw(st.sets(st.integers(1, max(len(view.axes) - 1, 1)), max_size=2)))
            parts = np.split(np.array(view.shape, dtype=int), cuts)
            target = [int(np.prod(p)) for p in parts] + [1] * data.draw(st.integers(0, 1))
            view = reshaped(view, tuple(target))
            tensor = tensor.reshape(2, *target)
        assert view.shape == tensor.shape[1:]
        np.testing.assert_array_equal(array_of(view.meaning("x"), view.value, tensor), inside)


def test_a_split_axis_is_refused() -> None:
    view, _ = map_view((6, 4, 4))
    with pytest.raises(Unsupported, match="splits an axis"):
        reshaped(view, (2, 3, 4, 4))
    with pytest.raises(Unsupported, match="number of elements"):
        reshaped(view, (6, 4))


def test_spatial_dims() -> None:
    view, _ = map_view((6, 4, 5))
    assert spatial_dims(view, 2) == (2, 3)
    assert spatial_dims(view.with_axes(((4,), (3,), (2,))), 2) == (3, 2)
    with pytest.raises(Unsupported, match="channels"):
        spatial_dims(view.with_axes(((2,), (4,), (3,))), 2)
    with pytest.raises(Unsupported, match="rank"):
        spatial_dims(view, 1)


def test_per_channel() -> None:
    view, _ = map_view((3, 2, 2))
    np.testing.assert_array_equal(per_channel(view, np.float32([[[1]], [[2]], [[3]]])), [1, 2, 3])
    np.testing.assert_array_equal(per_channel(view, np.float32([5, 5])), [5])
    assert per_channel(view, np.float32([1, 2])) is None  # varies along W
    with pytest.raises(Unsupported, match="broadcast"):
        per_channel(view, np.ones((4, 1, 1), np.float32))
    with pytest.raises(Unsupported, match="broadcast"):
        per_channel(view, np.ones((2, 3, 1, 1), np.float32))  # would be per sample


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 100), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_packing_round_trip(channels: int, rows: int, seed: int) -> None:
    bits = np.random.default_rng(seed).random((rows, channels)) < 0.5
    words = pack_bits(bits)
    assert words.shape == (rows, (channels + 31) // 32)
    np.testing.assert_array_equal(unpack_bits(words, channels), bits)
    assert all(bool(words[0, c // 32] >> np.uint32(c % 32) & np.uint32(1)) == bits[0, c] for c in range(channels))
    back = words_from_bytes(words.astype("<u4").view(np.uint8), channels, "w")
    np.testing.assert_array_equal(back, words)
