"""Random operands of a problem in the kernels' layout, and the exact output: what verification and timing run on."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TuneError
from ..formats import Ints, exact_product, format_of, planes_of, random_values
from ..problem import Problem
from .algebra import Terms, affine, chunks_of, pack_rows, row_sums, terms_of
from .arguments import Product
from .conv import Conv2d

Array = NDArray[Any]
_DTYPES = {"s32": "<i4", "f32": "<f4", "f16": "<f2", "bf16": "<u2", "bits": "<u4"}
POISON = 0xA5
DENSE = {"dense_s8": "s8", "dense_f16": "f16", "dense_bf16": "bf16"}
"""Logics of products of unpacked numbers, with the type of both sides."""


@dataclass
class Operands:
    """A problem's data.

    Attributes:
        inputs: arrays by their name in `Product`.
        numbers: the other fields of `Product`.
        expected: the output with its rows' ends; where no number belongs, the poison that must stay.
        poisoned: what the output holds before.
        expected_sums: for bits: the number of ones of each row.
    """

    problem: Problem
    inputs: dict[str, Array]
    numbers: dict[str, int]
    expected: Array
    poisoned: Array
    expected_sums: NDArray[np.int32] | None = None
    conv: Conv2d | None = None

    def arguments(self, addresses: dict[str, int], swizzle: int = 1) -> Product:
        """The structure; `addresses` of `inputs`, "out" and what else the launch needs ("partial", "out_sums")."""
        p = Product(**self.numbers, **addresses)
        p.swizzle = swizzle
        if self.conv is not None:
            p.set_geometry(self.conv, self.numbers["a_chunks"] // self.conv.taps)
        return p


def to_bfloat(x: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Bits of bfloat16, rounded to nearest even; no NaNs."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def operands_of(problem: Problem, logic: str, rng: np.random.Generator, guard: int = 0) -> Operands:
    """Draws operands.

    Args:
        problem: a product or a convolution with weights pm1.
        logic: of the build: "and", "xor", "direct" (planes of bits), "exact" (8-bit or float activations) or one of
            `DENSE`.
        rng: the only source of chance.
        guard: elements behind each row of the output that no kernel may touch; not for bits.

    Raises:
        TuneError: the problem is none of these families' (see `CudaTemplate.why_not_at_all`).
    """
    conv = Conv2d.parse(problem.detail) if problem.op == "conv2d" else None
    n, k = problem.n, problem.k
    w = random_values("pm1", (n, k), rng)
    bits = w > 0
    if conv is not None:
        bits = bits.reshape(n, conv.taps, conv.group_channels)
    packed_w = pack_rows(bits).reshape(n, -1)
    chunks = packed_w.shape[1] // 4
    inputs: dict[str, Array] = {"w": packed_w}
    numbers = {"m": problem.m, "n": n, "k_chunks": chunks, "ldw": chunks}
    if logic in DENSE:
        d = _dense_side(problem, DENSE[logic], w, conv, inputs, numbers, rng)
        terms = Terms(1, 0, np.zeros((1, n), np.int32))
    elif logic == "exact":
        if conv is not None:
            raise TuneError(f"convolutions of {problem.a} activations have no kernel of 8-bit or float operands")
        d = _exact_side(problem, w, inputs, numbers, rng)
        terms = Terms(1, 0, np.zeros((1, n), np.int32))
    elif logic == "direct":
        d = _bit_side(problem, w, conv, inputs, numbers, rng)
        words = pack_rows(bits)[..., : ceil(bits.shape[-1] / 32)].reshape(n, -1)
        inputs["w"], numbers["ldw"] = np.ascontiguousarray(words), words.shape[1]
        terms = Terms(1, 0, np.zeros((1, n), np.int32))
    else:
        d = _bit_side(problem, w, conv, inputs, numbers, rng)
        terms = terms_of(problem.a, logic, bits, conv)
        if terms.row_class is not None:
            inputs["row_class"] = terms.row_class
        if terms.pad_bits is not None:
            inputs["pad"] = pack_rows(terms.pad_bits)
        numbers["pad_sum"] = terms.pad_sum
    inputs["w_terms"] = terms.w_terms
    numbers |= {"acc_mul": terms.acc_mul, "a_mul": terms.a_mul}
    return _with_output(problem, d, inputs, numbers, conv, rng, guard)


def _dense_side(
    problem: Problem,
    kind: str,
    w: Ints,
    conv: Conv2d | None,
    inputs: dict[str, Array],
    numbers: dict[str, int],
    rng: np.random.Generator,
) -> Ints:
    """Numbers of both sides as they are; rows, of a convolution pixels and taps, padded with zeros to 16 bytes."""
    shape = (problem.m, problem.k) if conv is None else (conv.images * conv.pixels, conv.c)
    a = rng.integers(-64, 65, shape) if format_of(problem.a).kind == "float" else random_values(problem.a, shape, rng)
    fill = conv.fill if conv is not None and format_of(problem.a).kind == "sign" else 0
    taps = w.reshape(len(w), -1, conv.c if conv else w.shape[1])
    unsigned = format_of(problem.a).kind == "unsigned"
    inputs["a"], inputs["w"] = _padded(a, kind, unsigned), _padded(taps, kind, False)
    row = inputs["a"].shape[-1] * inputs["a"].itemsize // 16
    chunks = row * taps.shape[1]
    numbers |= {"lda": row, "a_chunks": chunks, "k_chunks": chunks, "ldw": chunks}
    if fill != 0:
        inputs["pad"] = _padded(np.full((1, a.shape[-1]), fill), kind, unsigned)
    return exact_product(a if conv is None else conv.patches(a, fill), w)


def _padded(values: Ints, kind: str, unsigned: bool) -> Array:
    """The last axis to whole chunks of 16 bytes."""
    dtype: Any = {"s8": np.uint8 if unsigned else np.int8, "f16": np.float16, "bf16": np.uint16}[kind]
    size = np.dtype(dtype).itemsize
    length = values.shape[-1]
    padded = np.zeros((*values.shape[:-1], ceil(length * size / 16) * 16 // size), dtype)
    padded[..., :length] = to_bfloat(values.astype(np.float32)) if kind == "bf16" else values.astype(dtype)
    return padded


def _bit_side(
    problem: Problem,
    w: Ints,
    conv: Conv2d | None,
    inputs: dict[str, Array],
    numbers: dict[str, int],
    rng: np.random.Generator,
) -> Ints:
    known = format_of(problem.a)
    shape = (problem.m, problem.k) if conv is None else (conv.images * conv.pixels, conv.c)
    a = random_values(problem.a, shape, rng)
    planes = planes_of(a, problem.a)
    packed = pack_rows(planes)
    inputs["a"], inputs["a_sums"] = packed, row_sums(planes, known).reshape(-1)
    row = packed.shape[-1] // 4
    numbers |= {"lda": row, "a_chunks": row * (conv.taps if conv else 1), "a_plane": packed[0].size // 4}
    if conv is None:
        return exact_product(a, w)
    rows = conv.patches(a, conv.fill if known.kind == "sign" else 0)
    grouped = rows.reshape(len(rows), conv.taps, conv.groups, conv.group_channels)
    each = len(w) // conv.groups
    return np.concatenate(
        [
            exact_product(grouped[:, :, g].reshape(len(rows), -1), w[g * each : (g + 1) * each])
            for g in range(conv.groups)
        ],
        1,
    )


def _exact_side(
    problem: Problem, w: Ints, inputs: dict[str, Array], numbers: dict[str, int], rng: np.random.Generator
) -> Ints:
    """8-bit or half activations: rows padded to 16 bytes.

    Halves are drawn as integers, so that any order of the sums is exact in float32.
    """
    float_side = format_of(problem.a).kind == "float"
    a = (
        rng.integers(-64, 65, (problem.m, problem.k))
        if float_side
        else random_values(problem.a, (problem.m, problem.k), rng)
    )
    size = 2 if float_side else 1
    row = ceil(problem.k * size / 16)
    inputs["a"] = _padded(a, problem.a if float_side else "s8", format_of(problem.a).kind == "unsigned")
    numbers |= {"lda": row, "a_chunks": row}
    return exact_product(a, w)


def _with_output(
    problem: Problem,
    d: Ints,
    inputs: dict[str, Array],
    numbers: dict[str, int],
    conv: Conv2d | None,
    rng: np.random.Generator,
    guard: int,
) -> Operands:
    m, n = d.shape
    sums = None
    if problem.out == "bits":
        # thresholds in the middle of what occurs; some that no sum or every sum reaches, and some turned around
        thresholds = rng.integers(d.min(), d.max() + 2, n).astype(np.int32)
        thresholds[rng.random(n) < 0.05] = np.iinfo(np.int32).max
        thresholds[rng.random(n) < 0.05] = np.iinfo(np.int32).min
        flip = np.asarray(rng.random(n) < 0.3)
        inputs["thresholds"] = thresholds
        inputs["flips"] = pack_rows(flip)
        ones = (d >= thresholds) != flip
        numbers["ldo"] = 4 * chunks_of(n)
        expected = pack_rows(ones)
        sums = ones.sum(1).astype(np.int32)
    else:
        numbers["ldo"] = n + guard
        values: Array = d.astype(np.int32)
        if problem.out != "s32":
            inputs["scale"] = np.asarray(rng.uniform(0.001, 0.1, n), np.float32)
            inputs["bias"] = np.asarray(rng.normal(0, 1, n), np.float32)
            y: NDArray[np.float32] = affine(d, inputs["scale"], inputs["bias"])
            values = y
            if problem.out == "f16":
                values = np.asarray(y, np.float16)
            elif problem.out == "bf16":
                values = to_bfloat(np.asarray(y, np.float32))
        expected = _poison((m, n + guard), _DTYPES[problem.out])
        expected[:, :n] = values
    return Operands(problem, inputs, numbers, expected, _poison(expected.shape, _DTYPES[problem.out]), sums, conv)


def _poison(shape: tuple[int, ...], dtype: str) -> Array:
    return np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, POISON, np.uint8).view(dtype).reshape(shape)


def difference(found: Array, expected: Array) -> str | None:
    """What is wrong with an output, or None: compared bit by bit."""
    a, b = found.view(np.uint8), expected.view(np.uint8)
    if np.array_equal(a, b):
        return None
    size = expected.dtype.itemsize
    wrong = (a.reshape(-1, size) != b.reshape(-1, size)).any(1)
    place = np.unravel_index(int(wrong.argmax()), expected.shape)
    where = tuple(map(int, place))
    count = f"{int(wrong.sum())} of {wrong.size} outputs are wrong"
    return f"{count}, the first at {where}: {found[place]} instead of {expected[place]}"
