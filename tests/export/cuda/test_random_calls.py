"""Random calls of the packed operators on the CUDA path, emulated, bit for bit the reference."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.tune.cuda.harness import needs_compiler

from bitwright.compiler.dialect import (
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
)
from bitwright.export import reference_ops
from bitwright.export.cuda import call_of
from bitwright.export.cuda.operators import with_executor
from bitwright.nn.packing import pack_filters
from bitwright.tune.cuda import RefusedError

from .emulated import executor, same_bits
from .test_operators import MMA, PLANES, SPLIT, XOR

pytestmark = needs_compiler
RUN = {config: executor(config=config) for config in (MMA, SPLIT, XOR, PLANES)}
DEFAULT = executor("a100")
SPECIAL = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-45])


def values(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Normal numbers, and some that are special."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=g)
    where = torch.rand(shape, generator=g) < 0.1
    return torch.where(where, SPECIAL[torch.randint(len(SPECIAL), shape, generator=g)], x)


def vectors(channels: int, outputs: int, levels: bool, each: bool, seed: int) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed + 1)
    size = channels if each else 1
    first = [torch.randn(size, generator=g) * 0.5]
    if levels:
        first = [torch.randn(size, generator=g) * 2, torch.randn(size, generator=g)]
    return [*first, torch.randn(outputs, generator=g), torch.randn(outputs, generator=g)]


@st.composite
def odd_convolutions(draw: st.DrawFn) -> tuple[tuple[int, ...], int, Any]:
    """Of one to three axes, in groups, transposed."""
    rank, group = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 5]))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    channels, outputs = draw(st.sampled_from([1, 3, 32, 33])), group * draw(st.integers(1, 8))
    stride, dilation, low = each(1, 3), each(1, 2), draw(st.sampled_from([-1.0, 0.0]))
    shape = (draw(st.integers(1, 2)), group * channels, *each(2, 5))
    attrs: Any
    if draw(st.booleans()):
        more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
        attrs = BinaryConvTransposeAttrs(
            each(1, 3), stride, dilation, (*each(0, 1), *each(0, 2)), more, group, channels, low
        )
    else:
        geometry = (each(1, 3), stride, dilation, (*each(0, 1), *each(0, 2)), group, channels)
        mode = draw(st.sampled_from(["constant", "edge"]))
        if draw(st.integers(0, 3)) == 0:
            attrs = LevelConvAttrs(*geometry, draw(st.integers(1, 4)), mode)
        else:
            value = draw(st.sampled_from([-1.0, 0.0, 1.0] if low else [0.0, 1.0]))
            attrs = BinaryConvAttrs(*geometry, low, mode, value)
    return shape, outputs, attrs


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[tuple[int, ...], int, Any]:
    rank = draw(st.integers(1, 2))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    channels, bits = draw(st.sampled_from([1, 3, 31, 33, 128, 130])), draw(st.sampled_from([0, 0, 1, 3]))
    begin = each(0, 2)
    pads = (*begin, *(begin if draw(st.booleans()) else each(0, 2)))
    geometry = (each(1, 3), each(1, 2), each(1, 2), pads, 1, channels)
    mode = draw(st.sampled_from(["constant", "edge"]))
    shape = (draw(st.integers(1, 2)), channels, *each(2, 7))
    attrs: Any
    if bits:
        attrs = LevelConvAttrs(*geometry, bits, mode)
    else:
        low = draw(st.sampled_from([-1.0, 0.0]))
        value = draw(st.sampled_from([-1.0, 0.0, 1.0] if low else [0.0, 1.0]))
        attrs = BinaryConvAttrs(*geometry, low, mode, value)
    return shape, draw(st.integers(1, 40)), attrs


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    convolutions(),
    st.sampled_from([MMA, XOR]),
    st.sampled_from(["first", "last", "apart"]),
    st.booleans(),
    st.integers(0, 999),
)
def test_convolutions(case: Any, config: Any, layout: str, each: bool, seed: int) -> None:
    shape, outputs, attrs = case
    try:
        assume(min(attrs.output_size(shape[2:])) > 0)
        call_of(shape, outputs, attrs)
    except (RefusedError, ValueError):
        assume(False)
    levels = isinstance(attrs, LevelConvAttrs)
    x = values(shape, seed)
    if layout == "last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    elif layout == "apart":
        x = torch.stack([x, x], -1)[..., 0]
    weight = pack_filters(torch.rand(outputs, attrs.channels, *attrs.kernel_shape) < 0.5)
    op, given_vectors = "level_conv" if levels else "binary_conv", vectors(attrs.channels, outputs, levels, each, seed)
    found = with_executor(RUN[config], op, x, weight, given_vectors, attrs)
    assert same_bits(found, getattr(reference_ops, op)(x, weight, *given_vectors, attrs))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(odd_convolutions(), st.sampled_from(["first", "last"]), st.booleans(), st.integers(0, 999))
def test_odd_convolutions(case: Any, layout: str, each: bool, seed: int) -> None:
    """By the defaults of a GPU."""
    shape, outputs, attrs = case
    try:
        assume(min(attrs.output_size(shape[2:])) > 0)
    except ValueError:
        assume(False)
    levels = isinstance(attrs, LevelConvAttrs)
    x = values(shape, seed)
    if layout == "last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    weight = pack_filters(torch.rand(outputs, attrs.channels, *attrs.kernel_shape) < 0.5)
    op = "level_conv" if levels else "binary_conv"
    op += "_transpose" if isinstance(attrs, BinaryConvTransposeAttrs) else ""
    given_vectors = vectors(shape[1], outputs, levels, each, seed)
    found = with_executor(DEFAULT, op, x, weight, given_vectors, attrs)
    assert same_bits(found, getattr(reference_ops, op)(x, weight, *given_vectors, attrs))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.integers(1, 5), max_size=3),
    st.integers(1, 300),
    st.integers(1, 70),
    st.sampled_from([0, 0, 1, 3]),
    st.sampled_from([MMA, SPLIT, XOR, PLANES]),
    st.booleans(),
    st.integers(0, 999),
)
def test_linear(rows: list[int], features: int, outputs: int, bits: int, config: Any, each: bool, seed: int) -> None:
    assume(config is not PLANES or torch.Size(rows).numel() in range(3, 65))
    attrs: Any = LevelLinearAttrs(features, bits) if bits else BinaryLinearAttrs(features, -1.0 if seed % 2 else 0.0)
    op, x = "level_linear" if bits else "binary_linear", values((*rows, features), seed)
    weight = pack_filters(torch.rand(outputs, features) < 0.5)
    given_vectors = vectors(features, outputs, bool(bits), each, seed)
    found = with_executor(RUN[config], op, x, weight, given_vectors, attrs)
    assert same_bits(found, getattr(reference_ops, op)(x, weight, *given_vectors, attrs))
