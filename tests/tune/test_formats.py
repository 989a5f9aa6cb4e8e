"""The identities of low-bit products, against integer products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.tune import FORMATS, TuneError
from bitwright.tune.formats import (
    exact_product,
    limit_of,
    planes_of,
    product_by_and,
    product_by_xor,
    product_reference,
    random_values,
)

INTEGERS = sorted(name for name, f in FORMATS.items() if f.kind != "float")


@given(st.sampled_from(INTEGERS), st.sampled_from(INTEGERS), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_and_gives_every_product(a: str, w: str, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = random_values(a, (3, k), rng), random_values(w, (4, k), rng)
    exact = product_reference(x, y)
    np.testing.assert_array_equal(product_by_and(x, y, a, w), exact)
    assert np.abs(exact).max() <= limit_of(a, w, k)


@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_xor_gives_the_product_of_signs(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = random_values("pm1", (3, k), rng), random_values("pm1", (4, k), rng)
    np.testing.assert_array_equal(product_by_xor(x, y), product_reference(x, y))


@pytest.mark.parametrize("name", INTEGERS)
def test_planes_are_the_numbers(name: str) -> None:
    known = FORMATS[name]
    low, high = known.values
    values = np.array([-1, 1]) if known.kind == "sign" else np.arange(low, high + 1)
    planes = planes_of(values, name).astype(np.int64)
    assert planes.shape[0] == known.planes
    np.testing.assert_array_equal(known.constant + np.tensordot(known.weights, planes, 1), values)


def test_a_number_outside_is_named() -> None:
    with pytest.raises(TuneError, match="0 is no number of format pm1; -1 or 1 is expected"):
        planes_of(np.array([1, 0]), "pm1")
    with pytest.raises(TuneError, match="4 is no number of format u2; 0 to 3"):
        planes_of(np.array([4]), "u2")
    with pytest.raises(TuneError, match="unknown format 'i4'"):
        random_values("i4", (1,), np.random.default_rng(0))


@given(st.integers(1, 40), st.sampled_from([1, 127, 1 << 12, 1 << 20]), st.integers(0, 2**32 - 1))
def test_products_of_floats_are_exact(k: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, w = rng.integers(-most, most + 1, (3, k)), rng.integers(-most, most + 1, (4, k))
    np.testing.assert_array_equal(exact_product(a, w), product_reference(a, w))


def test_sums_that_floats_do_not_hold_are_refused() -> None:
    huge = np.full((1, 2), 1 << 30)
    with pytest.raises(TuneError, match=r"below 2\^53"):
        exact_product(huge, huge)
