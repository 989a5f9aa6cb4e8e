"""BMATMUL: products of two bits values, both made by the run, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.runtime import ModelError, Session

from . import builder as b
from .builder import Builder
from .strategies import ISAS


def product(a: np.ndarray, right: np.ndarray, heads: int, along_tokens: bool) -> np.ndarray:
    """a [batch, M, heads*K], right [batch, N, heads*d] -> [batch, M, heads*N or heads*d]."""
    x = a.reshape(*a.shape[:2], heads, -1).transpose(0, 2, 1, 3)
    w = right.reshape(*right.shape[:2], heads, -1).transpose(0, 2, 1, 3)
    y = x @ (w if along_tokens else w.swapaxes(-1, -2))
    return y.transpose(0, 2, 1, 3).reshape(*a.shape[:2], -1)


@settings(max_examples=200, deadline=None)
@given(
    heads=st.integers(1, 3),
    m=st.integers(1, 40),
    n=st.sampled_from([1, 2, 7, 31, 32, 33, 64, 65, 100, 130]),
    width=st.sampled_from([1, 5, 31, 32, 33, 64, 70]),
    planes=st.sampled_from([1, 1, 1, 2, 5]),
    low=st.integers(0, 1),
    along=st.booleans(),
    end=st.sampled_from(["store", "bits", "levels"]),
    batch=st.integers(1, 3),
    threads=st.integers(1, 2),
    isa=st.sampled_from(ISAS),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_are_exact(
    heads: int,
    m: int,
    n: int,
    width: int,
    planes: int,
    low: int,
    along: bool,
    end: str,
    batch: int,
    threads: int,
    isa: str,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    low = 1 if planes > 1 else low
    depth, outputs = (n, heads * width) if along else (width, heads * n)
    a = random.integers(-1, 2**planes, (batch, m, heads * depth)).astype(np.float32)
    right = random.standard_normal((batch, n, heads * width)).astype(np.float32)
    model = Builder(minor=1)
    a_dims, b_dims, y_dims = (1, 1, m, heads * depth), (1, 1, n, heads * width), (1, 1, m, outputs)
    x, w = (model.value("f32", dims, role="input", axes=(3, 4)) for dims in (a_dims, b_dims))
    x_bits = model.value("bits", a_dims, heads, planes=planes if planes > 1 else 0)
    w_bits = model.value("bits", b_dims, heads)
    model.map(x, [b.store_levels(x_bits, planes) if planes > 1 else b.store_bits(x_bits, p0=0.5)])
    model.map(w, [b.store_bits(w_bits)])
    one = np.clip(a, 0, 2**planes - 1) if planes > 1 else np.where(a >= 0.5, 1.0, 0.0 if low else -1.0)
    expected = product(one, np.where(right >= 0, 1.0, -1.0), heads, along)
    y = model.value("f32", y_dims, role="output", axes=(3, 4))
    scale = random.choice(np.array([0.5, -1.0, 0.25], np.float32), outputs)
    groups = int(random.choice([k for k in (1, heads, 2, 5) if outputs % k == 0]))
    last = model.value("bits", y_dims, groups, planes=3 if end == "levels" else 0)
    steps = [b.affine(model.constant(scale)), b.store(y)]
    steps += [b.store_levels(last, 3, p1=1.0)] if end == "levels" else [b.store_bits(last, p0=1.0)]
    model.bmatmul(x_bits, w_bits, steps, low, along)
    expected = expected.astype(np.float32) * scale
    session = Session(model.file(), threads, isa)
    np.testing.assert_array_equal(session.run(a, right), expected)
    bits = {x_bits: session.run_op(0, {x: a[:, None, None]})[x_bits], w_bits: (right >= 0)[:, None, None]}
    got = session.run_op(2, bits)[last][:, 0, 0]
    wanted = np.clip(np.rint(expected + 1), 0, 7) if end == "levels" else expected >= 1
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("isa", ISAS)
def test_long_rows(isa: str) -> None:
    """Counts beyond 16 bits."""
    random = np.random.default_rng(3)
    a, right = (random.standard_normal((1, n, 70000)).astype(np.float32) for n in (3, 5))
    model = Builder(minor=1)
    dims = [(1, 1, n, 70000) for n in (3, 5)]
    inputs = [model.value("f32", d, role="input", axes=(3, 4)) for d in dims]
    bits = [model.value("bits", d) for d in dims]
    y = model.value("f32", (1, 1, 3, 5), role="output", axes=(3, 4))
    for x, to in zip(inputs, bits, strict=True):
        model.map(x, [b.store_bits(to)])
    model.bmatmul(bits[0], bits[1], [b.store(y)])
    expected = product(np.where(a >= 0, 1, -1), np.where(right >= 0, 1, -1), 1, False)
    np.testing.assert_array_equal(Session(model.file(), 1, isa).run(a, right), expected)


def model(**changes: int) -> bytes:
    k = {
        "a_groups": 2,
        "b_groups": 2,
        "width": 8,
        "low": 0,
        "along": 0,
        "planes": 0,
        "b_planes": 0,
        "minor": 1,
        "outputs": 10,
    }
    k |= changes
    m = Builder(minor=k["minor"])
    x = m.value("f32", (1, 1, 3, 16), role="input")
    w = m.value("f32", (1, 1, 5, 2 * k["width"]), role="input")
    x_bits = m.value("bits", (1, 1, 3, 16), k["a_groups"], planes=k["planes"])
    w_bits = m.value("bits", (1, 1, 5, 2 * k["width"]), k["b_groups"], planes=k["b_planes"])
    y = m.value("f32", (1, 1, 3, k["outputs"]), role="output")
    m.map(x, [b.store_levels(x_bits, k["planes"]) if k["planes"] else b.store_bits(x_bits)])
    m.map(w, [b.store_levels(w_bits, k["b_planes"]) if k["b_planes"] else b.store_bits(w_bits)])
    m.bmatmul(x_bits, w_bits, [b.store(y)], k["low"], k["along"])  # type: ignore[arg-type]
    return m.file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minor": 0}, r"BMATMUL.: this opcode in a file of version 1.0"),
        ({"b_groups": 1}, "A is packed in 2 groups, B in 1"),
        ({"width": 7}, "a head of A has 8 channels, the sum over B runs over 7"),
        ({"along": 1}, "a head of A has 8 channels, the sum over B runs over 5"),
        ({"along": 2}, "along_tokens"),
        ({"low": 2}, "low 2, known are 0 and 1"),
        ({"planes": 2}, "low 0, 1 is expected for an input of 2 planes"),
        ({"b_planes": 2}, "right value 3 has 2 planes, 1 is expected"),
        ({"outputs": 11}, "value 4 has 11 in C, 10 is expected"),
    ],
)
def test_hostile_files(changes: dict[str, int], message: str) -> None:
    Session(model())
    if changes == {"along": 2}:
        data = bytearray(model())
        at = data.index(b"\x09\0\0\0\x40\0\0\0")
        data[at + 28] = 2
        with pytest.raises(ModelError, match=message):
            Session(b.seal(data))
        return
    with pytest.raises(ModelError, match=message):
        Session(model(**changes))
