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
from bitwright.export.half_linear import HalfLinearAttrs
from bitwright.tune import Problem
from bitwright.tune.cuda import Conv2d, RefusedError

Attrs = (
    HalfLinearAttrs | BinaryConvAttrs | BinaryConvTransposeAttrs | BinaryLinearAttrs | LevelConvAttrs | LevelLinearAttrs
)
_MOST = 2**31 - 1  # kernels count rows and pixels in 32 bits


@dataclass(frozen=True)
class Call:
    """A call that kernels serve.

    Attributes:
        op: as "binary_conv".
        problem: for the tuner; outputs are float32, of real activations their type.
        channels: of a row, or of a pixel with all its groups.
        planes: bit planes of an activation; 0: real activations.
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
        RefusedError: too large for kernels that count in 32 bits.
    """
    if isinstance(attrs, HalfLinearAttrs):
        rows = math.prod(shape[:-1])
        if rows == 0 or outputs == 0:
            return None
        _check_count(rows * outputs)
        problem = Problem("gemm", rows, outputs, attrs.channels, attrs.form, out=attrs.form)
        return Call("half_linear", problem, attrs.channels, 0, False, False, None, None, (*shape[:-1], outputs))
    levels = isinstance(attrs, LevelConvAttrs | LevelLinearAttrs)
    planes = attrs.bits if isinstance(attrs, LevelConvAttrs | LevelLinearAttrs) else 1
    form = f"u{planes}"
    if isinstance(attrs, BinaryConvAttrs | BinaryConvTransposeAttrs | BinaryLinearAttrs) and attrs.low != 0:
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
    shape: Sequence[int],
    outputs: int,
    attrs: BinaryConvAttrs | BinaryConvTransposeAttrs | LevelConvAttrs,
    form: str,
    planes: int,
    levels: bool,
) -> Call | None:
    if shape[0] == 0 or outputs == 0 or 0 in shape[2:] or min(size := attrs.output_size(shape[2:])) < 1:
        return None
    begin, end, spatial = attrs.pad_begin, attrs.pad_end, tuple(shape[2:])
    before: tuple[tuple[int, ...], float | None] | None = None
    fill, transposed = 0, isinstance(attrs, BinaryConvTransposeAttrs)
    if isinstance(attrs, BinaryConvTransposeAttrs):
        end = tuple(e - extra for e, extra in zip(end, attrs.output_padding, strict=True))
    elif any((*begin, *end)):
        # what the kernels do not pad themselves is padded ahead: edges, and bits of {0,1} by infinity, which gives ones
        value = attrs.pad_value if isinstance(attrs, BinaryConvAttrs) else 0.0
        ahead = attrs.pad_mode == "edge" or (form != "pm1" and value != 0)
        if ahead:
            widths = tuple(w for pair in zip(reversed(begin), reversed(end), strict=True) for w in pair)
            before = widths, None if attrs.pad_mode == "edge" else math.inf
            spatial = tuple(n + b + e for n, b, e in zip(spatial, begin, end, strict=True))
            begin = end = (0,) * attrs.rank
        else:
            fill = int(value)
    geometry = _geometry(attrs, (shape[0], *spatial), begin, end, fill, int(transposed))
    problem = geometry.problem(outputs, form, out="f32")
    conv: Conv2d | None = geometry
    if geometry.taps == geometry.groups == 1 and all(axis[3:4] + axis[5:] == (1, 0, 0) for axis in geometry.axes):
        problem, conv = Problem("gemm", problem.m, outputs, attrs.channels, form, out="f32"), None
    _check_count(max(problem.m * outputs, shape[0] * math.prod(spatial)))
    op = "level_conv" if levels else "binary_conv_transpose" if transposed else "binary_conv"
    return Call(
        op, problem, attrs.channels * attrs.group, planes, levels, True, conv, before, (shape[0], *size, outputs)
    )


def _geometry(
    attrs: BinaryConvAttrs | BinaryConvTransposeAttrs | LevelConvAttrs,
    size: tuple[int, ...],
    begin: tuple[int, ...],
    end: tuple[int, ...],
    fill: int,
    transposed: int,
) -> Conv2d:
    """Of one to three axes; `size`: images, then the axes."""

    def three(values: Sequence[int], rest: int) -> tuple[int, tuple[int, int]]:
        d, h, w = (*(rest,) * (3 - attrs.rank), *values)
        return d, (h, w)

    (d, (h, w)), (kernel_d, kernel), (stride_d, stride) = (
        three(values, 1) for values in (size[1:], attrs.kernel_shape, attrs.strides)
    )
    (pad_d, pad), (end_d, last), (dilation_d, dilation) = three(begin, 0), three(end, 0), three(attrs.dilations, 1)
    return Conv2d(
        size[0],
        h,
        w,
        attrs.channels * attrs.group,
        kernel,
        stride,
        pad,
        dilation,
        fill,
        attrs.group,
        last,
        transposed,
        d,
        kernel_d,
        stride_d,
        pad_d,
        dilation_d,
        end_d,
    )


def _check_count(count: int) -> None:
    if count > _MOST:
        raise RefusedError(f"{count} pixels or outputs in one call; kernels count them in 32 bits")
