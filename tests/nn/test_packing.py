"""The canonical packing, against a loop over bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitwright.nn import pack_bits, pack_filters, packed_bytes, unpack_bits, unpack_filters


@given(st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_pack_bits_is_least_significant_first(channels: int, seed: int) -> None:
    bits = torch.rand(3, channels, generator=torch.Generator().manual_seed(seed)) < 0.5
    packed = pack_bits(bits)
    assert packed.shape == (3, packed_bytes(channels))
    for row, data in zip(bits.tolist(), packed.tolist(), strict=True):
        number = sum(1 << i for i, bit in enumerate(row) if bit)
        assert int.from_bytes(bytes(data), "little") == number
    assert torch.equal(unpack_bits(packed, channels), bits)


@pytest.mark.parametrize(("channels", "size"), [(1, 4), (32, 4), (33, 8), (64, 8), (65, 12)])
def test_rows_are_whole_words(channels: int, size: int) -> None:
    assert packed_bytes(channels) == size


def test_filters_have_channels_innermost() -> None:
    bits = torch.zeros(2, 5, 2, 3, dtype=torch.bool)
    bits[1, 4, 1, 2] = True
    packed = pack_filters(bits)
    assert packed.shape == (2, 6, 4)
    assert packed.nonzero().tolist() == [[1, 5, 0]]
    assert int(packed[1, 5, 0]) == 1 << 4
    assert torch.equal(unpack_filters(packed, 5, (2, 3)), bits)


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="float32"):
        pack_bits(torch.zeros(3))
    with pytest.raises(TypeError, match="int64"):
        unpack_bits(torch.zeros(4, dtype=torch.int64), 3)
    with pytest.raises(ValueError, match="33 channels take 8 bytes"):
        unpack_bits(torch.zeros(4, dtype=torch.uint8), 33)
    with pytest.raises(ValueError, match="past the last channel"):
        unpack_bits(torch.tensor([8, 0, 0, 0], dtype=torch.uint8), 3)
