"""The identities with their factors and terms, against integer products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.tune import FORMATS, TuneError
from bitwright.tune.cuda import Conv2d
from bitwright.tune.cuda.algebra import pack_rows, plane_weights, row_sums, terms_of, unpack_rows
from bitwright.tune.formats import format_of, planes_of, product_reference, random_values

BITS = sorted(name for name, f in FORMATS.items() if f.kind != "float")


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_packed_rows_come_back(k: int, seed: int) -> None:
    bits = np.random.default_rng(seed).random((2, 3, k)) < 0.5
    words = pack_rows(bits)
    assert words.shape[-1] % 4 == 0
    np.testing.assert_array_equal(unpack_rows(words, k), bits)
    assert not unpack_rows(words, words.shape[-1] * 32)[..., k:].any()
    assert int(words[0, 0, 0]) & 1 == bits[0, 0, 0]


@given(st.sampled_from(BITS), st.sampled_from(["and", "xor"]), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_terms_give_the_product(name: str, logic: str, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, w = random_values(name, (3, k), rng), random_values("pm1", (5, k), rng)
    planes, bits = planes_of(a, name), w > 0
    both = (planes[:, :, None] & bits) if logic == "and" else (planes[:, :, None] ^ bits)
    acc = np.tensordot(np.asarray(plane_weights(format_of(name))), both.sum(-1), 1)
    t = terms_of(name, logic, bits)
    sums = row_sums(planes, format_of(name))
    found = t.acc_mul * acc + t.a_mul * sums[:, None] + t.w_terms[0]
    np.testing.assert_array_equal(found, product_reference(a, w))


@given(
    st.sampled_from([-1, 0, 1]),
    st.sampled_from(["and", "xor"]),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 99),
)
def test_terms_of_padded_maps(fill: int, logic: str, stride: int, pad: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    conv = Conv2d(2, 5, 6, 7, (3, 2), (stride, 1), (pad, 1), (1, 2), fill)
    a, w = random_values("pm1", (2, 5, 6, 7), rng), random_values("pm1", (4, conv.taps * 7), rng)
    bits = (w > 0).reshape(4, conv.taps, 7)
    t = terms_of("pm1", logic, bits, conv)
    # what a kernel reads outside of the map: zero bits, or the padding pixel
    outside = t.pad_bits is not None
    seen = conv.patches((a > 0).astype(np.int64), int(outside)) > 0
    acc = ((seen[:, None] & bits.reshape(4, -1)) if logic == "and" else (seen[:, None] ^ bits.reshape(4, -1))).sum(-1)
    kinds = np.zeros(len(acc), np.int64) if t.row_class is None else np.tile(t.row_class, 2)
    found = t.acc_mul * acc + t.a_mul * seen.sum(-1)[:, None] + t.w_terms[kinds]
    np.testing.assert_array_equal(found, conv.patches(a, fill) @ w.T)


def test_what_has_no_identity() -> None:
    bits = np.ones((2, 8), np.bool_)
    with pytest.raises(TuneError, match="no identity for f16"):
        terms_of("f16", "and", bits)
    with pytest.raises(TuneError, match="no identity for pm1 by 'nand'"):
        terms_of("pm1", "nand", bits)
    with pytest.raises(TuneError, match="padded with 0, not with 1"):
        terms_of("u2", "and", np.ones((2, 9, 4), np.bool_), Conv2d(1, 4, 4, 4, pad=(1, 1), fill=1))
