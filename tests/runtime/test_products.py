"""Products of packed matrices against numpy, with every count kernel of this machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.runtime import kernels, pack_bits
from bitwright.runtime.functional import PackedMatrix, binary_matmul

KERNELS = [k["name"] for k in kernels() if k["operation"] == "bconv" and k["supported"]]
ENDS = [k["name"] for k in kernels() if k["operation"] == "bmatmul" and k["supported"]]
PRODUCTS = ["signs", "hamming", "levels", "and"]


def expected(a: np.ndarray, b: np.ndarray, product: str) -> np.ndarray:
    """By integers, of bool [..., M, K] and [..., N, K]."""
    if product == "hamming":
        return np.bitwise_xor(a[..., :, None, :], b[..., None, :, :]).sum(-1, dtype=np.int64)
    x = a.astype(np.int64) if product in ("levels", "and") else np.where(a, 1, -1)
    w = b.astype(np.int64) if product == "and" else np.where(b, 1, -1)
    return x @ w.swapaxes(-1, -2)


@given(
    batch=st.lists(st.integers(1, 3), max_size=2),
    m=st.integers(0, 80),
    n=st.integers(0, 150),
    k=st.integers(1, 200),
    product=st.sampled_from(PRODUCTS),
    kernel=st.sampled_from(KERNELS),
    end=st.sampled_from(ENDS),
    shared=st.booleans(),
    threads=st.integers(0, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_product_and_kernel(
    batch: list[int], m: int, n: int, k: int, product: str, kernel: str, end: str, shared: bool, threads: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    a = random.random((*batch, m, k)) < random.random()
    b = random.random((*([] if shared else batch), n, k)) < random.random()
    wanted = expected(a, b, product)
    packed = PackedMatrix(
        pack_bits(b) if n else np.zeros((*b.shape[:-1], -(-k // 32)), np.uint32), k, kernel=f"{kernel},{end}"
    )
    left = pack_bits(a)
    got = packed.multiply(left, product=product, threads=threads)
    assert got.dtype == np.int32
    assert got.shape == wanted.shape
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(
        binary_matmul(left, pack_bits(b), bits=k, product=product, kernel=kernel, threads=threads), wanted
    )
    if product in ("hamming", "and"):
        out = np.full(wanted.shape, 9, np.uint16)
        assert binary_matmul(left, packed, product=product, out=out, threads=threads) is out
        np.testing.assert_array_equal(out, wanted)


@given(
    kernel=st.sampled_from([None, *KERNELS]),
    batch=st.integers(0, 2),
    m=st.integers(1, 300),
    n=st.integers(100, 300),
    k=st.integers(480, 2600),
    product=st.sampled_from(PRODUCTS),
    threads=st.integers(0, 2),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30, deadline=None)
def test_large_products(
    kernel: str | None, batch: int, m: int, n: int, k: int, product: str, threads: int, seed: int
) -> None:
    """Several chunks of rows, by the default kernel and by every other."""
    random = np.random.default_rng(seed)
    lead = [batch] if batch else []
    a, b = random.random((*lead, m, k)) < random.random(), random.random((*lead, n, k)) < random.random()
    x, w = (np.where(v, 1.0, low) for v, low in ((a, 0.0), (b, 0.0)))
    if product != "and":
        w = 2 * w - 1
    if product in ("signs", "hamming"):
        x = 2 * x - 1
    wanted = x.astype(np.float32) @ w.astype(np.float32).swapaxes(-1, -2)  # exact: integers below 2^24
    if product == "hamming":
        wanted = (k - wanted) / 2
    left, right = pack_bits(a), pack_bits(b)
    np.testing.assert_array_equal(binary_matmul(left, right, bits=k, product=product, threads=threads), wanted)
    packed = PackedMatrix(right, k, kernel=kernel)
    np.testing.assert_array_equal(packed.multiply(left, product=product, threads=threads), wanted)
    np.testing.assert_array_equal(packed.multiply(left[..., :1, :], product=product), wanted[..., :1, :])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("k", [65504, 65535, 65536, 70000])
def test_long_rows_and_extremes(kernel: str, k: int) -> None:
    a, b = np.zeros((3, k), bool), np.ones((40, k), bool)
    a[1] = True
    a[2] = np.random.default_rng(k).random(k) < 0.5
    for product in PRODUCTS:
        wanted = expected(a, b, product)
        np.testing.assert_array_equal(
            binary_matmul(pack_bits(a), pack_bits(b), bits=k, product=product, kernel=kernel), wanted
        )
        if k <= 65535 and product in ("hamming", "and"):
            got = binary_matmul(pack_bits(a), pack_bits(b), bits=k, product=product, kernel=kernel, dtype=np.uint16)
            np.testing.assert_array_equal(got, wanted)


def test_large_matrices_cross_chunks() -> None:
    random = np.random.default_rng(1)
    a, b = random.random((1700, 96)) < 0.5, random.random((300, 96)) < 0.5
    for threads in (1, 3):
        np.testing.assert_array_equal(
            binary_matmul(pack_bits(a), pack_bits(b), threads=threads), np.where(a, 1, -1) @ np.where(b, 1, -1).T
        )


@pytest.mark.parametrize("width", [1, 3, 4, 6, 8, 24])
def test_bytes_in_any_order(width: int) -> None:
    """Rows as numpy.packbits or other libraries make them."""
    random = np.random.default_rng(width)
    a, b = random.random((5, 8 * width)) < 0.5, random.random((37, 8 * width)) < 0.5
    left, right = np.packbits(a, axis=-1), np.packbits(b, axis=-1)
    for product in PRODUCTS:
        np.testing.assert_array_equal(binary_matmul(left, right, product=product), expected(a, b, product))
    if width % 8 == 0:
        got = binary_matmul(left.view(np.uint64), right.view(np.uint64), product="hamming")
        np.testing.assert_array_equal(got, expected(a, b, "hamming"))
    np.testing.assert_array_equal(
        binary_matmul(left[::-1], right[::2], product="hamming"), expected(a[::-1], b[::2], "hamming")
    )


def test_facts() -> None:
    packed = PackedMatrix(np.zeros((2, 70, 3), np.uint32), 90, kernel="portable")
    assert packed.shape == (2, 70, 90)
    assert packed.kernel == "bconv_portable"
    assert packed.nbytes >= 2 * 70 * 12
    assert repr(packed) == "PackedMatrix(shape=[2, 70, 90], kernel='bconv_portable')"


def test_bad_arguments() -> None:
    a, b = np.zeros((2, 3), np.uint32), np.zeros((40, 3), np.uint32)
    with pytest.raises(TypeError, match="a is float32; packed bits as uint32"):
        binary_matmul(a.astype(np.float32), b)
    with pytest.raises(ValueError, match=r"b has the shape \[3\]; \[..., rows, words\]"):
        binary_matmul(a, b[0])
    with pytest.raises(ValueError, match="rows of a have 2 words, rows of b have 3"):
        binary_matmul(a[:, :2], b)
    with pytest.raises(ValueError, match=r"a has the shape \[2, 3\], b \[1, 40, 3\]: the leading axes differ"):
        binary_matmul(a, b[None])
    with pytest.raises(ValueError, match="bits is 97; rows of 3 words hold 1 to 96"):
        binary_matmul(a, b, bits=97)
    with pytest.raises(ValueError, match="product is 'xor'; known: 'signs', 'hamming', 'levels', 'and'"):
        binary_matmul(a, b, product="xor")
    with pytest.raises(ValueError, match="a uint16 output cannot hold negative numbers"):
        binary_matmul(a, b, dtype=np.uint16)
    with pytest.raises(ValueError, match="a uint16 output cannot count 65536 bits"):
        binary_matmul(np.zeros((1, 2048), np.uint32), np.zeros((1, 2048), np.uint32), product="and", dtype=np.uint16)
    with pytest.raises(TypeError, match="the output is int64"):
        binary_matmul(a, b, out=np.zeros((2, 40), np.int64))
    with pytest.raises(ValueError, match=r"out has the shape \[40, 2\]; a writable, C-contiguous \[2, 40\]"):
        binary_matmul(a, b, out=np.zeros((40, 2), np.int32))
    with pytest.raises(ValueError, match="b is a PackedMatrix"):
        binary_matmul(a, PackedMatrix(b), kernel="portable")
    with pytest.raises(ValueError, match="unknown kernel 'gpu'"):
        binary_matmul(a, b, kernel="gpu")
    with pytest.raises(ValueError, match="threads is -2"):
        binary_matmul(a, b, threads=-2)
