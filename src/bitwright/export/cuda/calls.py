"""What a call of a packed operator is for the tuner: a product or a convolution, or the reason why it is neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bitwright.compiler.dialect import (
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
)
from bitwright.tune import Problem
from bitwright.tune.cuda import Conv2d, RefusedError

Attrs = BinaryConvAttrs | BinaryConvTransposeAttrs | BinaryLinearAttrs | LevelConvAttrs | LevelLinearAttrs
_MOST = 2**31 - 1  # kernels count rows and pixels in 32 bits


@dataclass(frozen=True)
class Call:
    """A call that kernels serve.

    Attributes:
        op: as "binary_conv".
        problem: for the tuner; outputs are float32.
        channels: of a row, or of a pixel.
        planes: bit planes of an activation.
        levels: whether activations are levels (gain and offset) or bits (threshold).
        maps: whether input and output are maps with their channels second, not rows.
        conv: of a convolution, after `before`; one of single pixels is a product.
        before: a padding that runs ahead in plain torch: widths as of `torch.nn.functional.pad`, and the value; None
            repeats the edge.
        shape: of the output, channels last.
    """

    op: str
    problem: Problem
    channels: int
    planes: int
    levels: bool
    maps: bool
    conv: Conv2d | None
    before: tuple[tuple[int, ...], float | None] | None
    shape: tuple[int, ...]


def call_of(shape: Sequence[int], outputs: int, attrs: Attrs) -> Call | None:
    """The call for an input of a shape; None where there is nothing to compute.

    Raises:
        RefusedError: no kernel is made for it.
    """
    if isinstance(attrs, BinaryConvTransposeAttrs):
        raise RefusedError("transposed convolutions have no kernel")
    levels = isinstance(attrs, LevelConvAttrs | LevelLinearAttrs)
    planes = attrs.bits if isinstance(attrs, LevelConvAttrs | LevelLinearAttrs) else 1
    form = f"u{planes}"
    if isinstance(attrs, BinaryConvAttrs | BinaryLinearAttrs) and attrs.low != 0:
        form = "pm1"
    if isinstance(attrs, BinaryLinearAttrs | LevelLinearAttrs):
        op = "level_linear" if levels else "binary_linear"
        rows = math.prod(shape[:-1])
        if rows == 0 or outputs == 0:
            return None
        _check_count(rows * max(outputs, 1))
        problem = Problem("gemm", rows, outputs, attrs.channels, form, out="f32")
        return Call(op, problem, attrs.channels, planes, levels, False, None, None, (*shape[:-1], outputs))
    return _convolution(shape, outputs, attrs, form, planes, levels)


def _convolution(
    shape: Sequence[int], outputs: int, attrs: BinaryConvAttrs | LevelConvAttrs, form: str, planes: int, levels: bool
) -> Call | None:
    if attrs.rank == 3:
        raise RefusedError("3-D convolutions have no kernel")
    if attrs.group != 1:
        raise RefusedError(f"convolutions of {attrs.group} groups have no kernel")
    size = attrs.output_size(shape[2:])
    if shape[0] == 0 or outputs == 0 or 0 in size:
        return None
    begin, end = attrs.pad_begin, attrs.pad_end
    value = attrs.pad_value if isinstance(attrs, BinaryConvAttrs) else 0.0
    before: tuple[tuple[int, ...], float | None] | None = None
    fill = int(value) if form == "pm1" else 0
    if any((*begin, *end)) and (attrs.pad_mode == "edge" or begin != end or (form != "pm1" and value != 0)):
        # what the kernels do not pad themselves is padded ahead with what gives the right bits: NaN is the lower
        # level, infinity the upper one
        if attrs.pad_mode == "edge":
            given = None
        elif levels:
            given = math.nan
        elif form == "pm1" and value == 0:
            raise RefusedError(f"zero padding of ±1 maps that differs between the sides ({begin}, {end}) has no kernel")
        else:
            given = math.inf if value > 0 else math.nan
        before = tuple(w for pair in zip(reversed(begin), reversed(end), strict=True) for w in pair), given
    pads = (0,) * attrs.rank if before is not None else begin
    spatial = [n + (0 if before is None else begin[i] + end[i]) for i, n in enumerate(shape[2:])]
    if attrs.rank == 1:
        kernel, stride, pad, dilation = (
            (first, v[0]) for first, v in ((1, attrs.kernel_shape), (1, attrs.strides), (0, pads), (1, attrs.dilations))
        )
        spatial = [1, *spatial]
    else:
        kernel, stride, pad, dilation = (
            (v[0], v[1]) for v in (attrs.kernel_shape, attrs.strides, pads, attrs.dilations)
        )
    geometry = Conv2d(shape[0], spatial[0], spatial[1], attrs.channels, kernel, stride, pad, dilation, fill)
    problem = geometry.problem(outputs, form, out="f32")
    conv: Conv2d | None = geometry
    if geometry.taps == 1 and stride == (1, 1) and not any(pad):
        problem, conv = Problem("gemm", problem.m, outputs, attrs.channels, form, out="f32"), None
    _check_count(max(problem.m * outputs, shape[0] * math.prod(spatial)))
    op = "level_conv" if levels else "binary_conv"
    return Call(op, problem, attrs.channels, planes, levels, True, conv, before, (shape[0], *size, outputs))


def _check_count(count: int) -> None:
    if count > _MOST:
        raise RefusedError(f"{count} pixels or outputs in one call; kernels count them in 32 bits")
