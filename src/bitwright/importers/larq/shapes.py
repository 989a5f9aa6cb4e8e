"""Standard TFLite operators that move elements, and reductions."""

from __future__ import annotations

import math

import numpy as np

from .layers import away_from_zero, same_levels
from .reader import Operator
from .registry import Context, converts, option
from .tensors import FIRST_AXIS, TO_FIRST


def _axis(ctx: Context, op: Operator, axis: int, rank: int) -> int:
    """A non-negative axis of the file's order; one that touches the batch fixes its size."""
    positive = axis + rank if axis < 0 else axis
    if not 0 <= positive < rank:
        raise ctx.tensors.fail(op, f"its axis {axis} is out of range for rank {rank}")
    if positive == 0:
        ctx.tensors.need_fixed_batch(op)
    return positive


def _put(ctx: Context, op: Operator, y: str, *, first: bool = False, i: int = 0, source: int = 0) -> None:
    """An output whose elements are elements of input `source`."""
    ctx.tensors.put(op, y, first=first, exact=same_levels(ctx, op, source), i=i)


@converts("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def reshape(ctx: Context, op: Operator) -> None:
    """Operators whose output shape says everything."""
    tensors, build = ctx.tensors, ctx.build
    shape, out = tensors.shape(op), tensors.out(op).shape
    if math.prod(shape) != math.prod(out):
        raise tensors.fail(op, f"it reshapes {list(shape)} to {list(out)}: not the same number of elements")
    if not shape or not out or shape[0] != out[0]:
        tensors.need_fixed_batch(op)
    target = [tensors.batch(out), *out[1:]] if out else []
    x, first = tensors.any(op)
    if first and shape[1] * shape[2] != 1 and shape[3] != 1:
        x = tensors.plain(op)  # with one pixel, or one channel, both orders are the same
    y = build.node("Reshape", [x, ctx.tensors.longs(target, "shape")], name=tensors.title(op))
    _put(ctx, op, y)


@converts("TRANSPOSE")
def transpose(ctx: Context, op: Operator) -> None:
    """A Transpose of the file's axes, joined with the one from channels-first."""
    tensors = ctx.tensors
    perm, rank = tensors.ints(op, 1, "perm"), len(tensors.shape(op))
    if sorted(perm) != list(range(rank)):
        raise tensors.fail(op, f"its perm {perm} does not fit rank {rank}")
    if perm and perm[0] != 0:
        tensors.need_fixed_batch(op)
    x, first = tensors.any(op)
    if first:
        perm = [FIRST_AXIS[p] for p in perm]
    _put(ctx, op, ctx.build.node("Transpose", [x], name=tensors.title(op), perm=perm))


@converts("CONCATENATION")
def concat(ctx: Context, op: Operator) -> None:
    """Concat; with requantisation where the inputs have other levels than the output."""
    tensors = ctx.tensors
    rank = len(tensors.shape(op))
    axis = _axis(ctx, op, int(option(ctx, op, "Axis")), rank)
    if int(option(ctx, op, "FusedActivationFunction")):
        raise tensors.fail(op, "it has a fused activation")
    first = rank == 4 and any(tensors.is_first(op, i) for i in range(len(op.inputs)))
    names = [tensors.first(op, i) if first else tensors.plain(op, i) for i in range(len(op.inputs))]
    y = ctx.build.node("Concat", names, name=tensors.title(op), axis=FIRST_AXIS[axis] if first else axis)
    exact = all(same_levels(ctx, op, i) for i in range(len(op.inputs)))
    tensors.put(op, y, first=first, exact=exact)


@converts("SPLIT", "SPLIT_V")
def split(ctx: Context, op: Operator) -> None:
    """Split into the sizes that the outputs declare."""
    tensors = ctx.tensors
    at, source = (0, 1) if op.op == "SPLIT" else (2, 0)
    axes = tensors.ints(op, at, "axis")
    shape = tensors.shape(op, source)
    if len(axes) != 1:
        raise tensors.fail(op, f"its axis is {axes}")
    axis = _axis(ctx, op, axes[0], len(shape))
    sizes = []
    for i in range(len(op.outputs)):
        out = tensors.out(op, i).shape
        if len(out) != len(shape):
            raise tensors.fail(op, f"its output {i} has the shape {list(out)}")
        sizes.append(out[axis])
    if sum(sizes) != shape[axis]:
        raise tensors.fail(op, f"its pieces {sizes[:16]} do not add up to axis {axis} of {list(shape)}")
    x, first = tensors.any(op, source)
    lengths = ctx.tensors.longs(sizes, "sizes")
    names = ctx.build.nodes(
        "Split", [x, lengths], len(sizes), name=tensors.title(op), axis=FIRST_AXIS[axis] if first else axis
    )
    for i, name in enumerate(names):
        _put(ctx, op, name, first=first, i=i, source=source)


@converts("PAD", "PADV2", "MIRROR_PAD")
def pad(ctx: Context, op: Operator) -> None:
    """Pad by constant widths [rank, 2]."""
    tensors, build = ctx.tensors, ctx.build
    rank = len(tensors.shape(op))
    widths = tensors.ints(op, 1, "paddings")
    if len(widths) != 2 * rank or min(widths, default=0) < 0 or max(widths, default=0) > 1 << 16:
        raise tensors.fail(op, f"its paddings are {widths} for rank {rank}")
    if any(widths[:2]):
        tensors.need_fixed_batch(op)
    x, first = tensors.any(op)
    order = TO_FIRST if first else range(rank)
    pads = [widths[2 * a] for a in order] + [widths[2 * a + 1] for a in order]
    inputs = [x, ctx.tensors.longs(pads, "pads")]
    mode = "constant"
    if op.op == "MIRROR_PAD":
        if int(option(ctx, op, "Mode")):
            raise tensors.fail(op, "its mode is symmetric; reflect is supported")
        mode = "reflect"
    elif op.op == "PADV2":
        value = tensors.real_const(op, 2, "value")
        if value.size != 1:
            raise tensors.fail(op, f"its value has {value.size} elements")
        inputs.append(build.constant(value.reshape(()), "value"))
    _put(ctx, op, build.node("Pad", inputs, name=tensors.title(op), mode=mode), first=first)


@converts("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
def reduce(ctx: Context, op: Operator) -> None:
    """Reductions over constant axes."""
    tensors = ctx.tensors
    kinds = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}
    rank = len(tensors.shape(op))
    axes = sorted({_axis(ctx, op, a, rank) for a in tensors.ints(op, 1, "axes")})
    keep = bool(option(ctx, op, "KeepDims"))
    x, first = tensors.any(op)
    rest = [a for a in range(rank) if a not in axes]
    if first and not keep and [FIRST_AXIS[a] for a in rest] != sorted(FIRST_AXIS[a] for a in rest):
        x, first = tensors.plain(op), False
    chosen = [FIRST_AXIS[a] for a in axes] if first else axes
    inputs = [x, ctx.tensors.longs(chosen, "axes")]
    y = ctx.build.node(kinds[op.op], inputs, name=tensors.title(op), keepdims=int(keep))
    given, out = tensors.of(op, 0).quantization, tensors.out(op).quantization
    if op.op == "MEAN" and given is not None and out is not None:
        # the factor s_in/s_out = m * 2^e is divided by the count, whose whole bits join the shift
        count = math.prod(tensors.shape(op)[a] for a in axes)
        exponent = int(np.frexp(given.scale / out.scale)[1][0]) - (max(count, 1).bit_length() - 1)
        y = away_from_zero(ctx, y, np.exp2(min(exponent, 0) - 1.0) * (1 + 2.0**-12) * out.scale)
    exact = op.op in ("REDUCE_MAX", "REDUCE_MIN") and same_levels(ctx, op)
    tensors.put(op, y, first=first and keep, exact=exact)


@converts("STRIDED_SLICE")
def strided_slice(ctx: Context, op: Operator) -> None:
    """Slice by constants, with positive steps; shrunk axes are squeezed."""
    tensors, build = ctx.tensors, ctx.build
    if int(option(ctx, op, "EllipsisMask")) or int(option(ctx, op, "NewAxisMask")):
        raise tensors.fail(op, "it has an ellipsis or a new axis; write the slice out")
    shape = tensors.shape(op)
    begin, end, step = (tensors.ints(op, i, w) for i, w in ((1, "begin"), (2, "end"), (3, "strides")))
    if not len(begin) == len(end) == len(step) <= len(shape):
        raise tensors.fail(op, f"begin {begin}, end {end}, strides {step} do not fit {list(shape)}")
    masks = [int(option(ctx, op, name)) for name in ("BeginMask", "EndMask", "ShrinkAxisMask")]
    starts, ends, axes, steps, shrunk = [], [], [], [], []
    for a, n in enumerate(shape[: len(begin)]):
        open_begin, open_end, shrink = (bool(m >> a & 1) for m in masks)
        if step[a] < 1:
            raise tensors.fail(op, f"its stride along axis {a} is {step[a]}; positive strides are supported")
        if shrink:
            at = begin[a] + n if begin[a] < 0 else begin[a]
            low, high, stride = at, at + 1, 1
            shrunk.append(_axis(ctx, op, a, len(shape)))
        else:
            low, high, stride = slice(None if open_begin else begin[a], None if open_end else end[a], step[a]).indices(
                n
            )
        if (low, stride) == (0, 1) and high == n and not shrink:
            continue
        starts.append(low)
        ends.append(high)
        axes.append(_axis(ctx, op, a, len(shape)))
        steps.append(stride)
    x, first = tensors.any(op)
    if shrunk and first:
        x, first = tensors.plain(op), False
    if axes:
        chosen = [FIRST_AXIS[a] for a in axes] if first else axes
        parts = [ctx.tensors.longs(v, w) for v, w in ((starts, "starts"), (ends, "ends"), (chosen, "axes"))]
        x = build.node("Slice", [x, *parts, ctx.tensors.longs(steps, "steps")], name=tensors.title(op))
    if shrunk:
        x = build.node("Squeeze", [x, ctx.tensors.longs(shrunk, "axes")])
    _put(ctx, op, x, first=first)


@converts("SLICE")
def slice_(ctx: Context, op: Operator) -> None:
    """Slice by a constant begin and size."""
    tensors, build = ctx.tensors, ctx.build
    shape = tensors.shape(op)
    begin, size = tensors.ints(op, 1, "begin"), tensors.ints(op, 2, "size")
    if len(begin) != len(shape) or len(size) != len(shape):
        raise tensors.fail(op, f"begin {begin} and size {size} do not fit {list(shape)}")
    starts, ends, axes = [], [], []
    for a, n in enumerate(shape):
        high = n if size[a] == -1 else begin[a] + size[a]
        if not 0 <= begin[a] < high <= n:
            raise tensors.fail(op, f"begin {begin} and size {size} do not fit {list(shape)}")
        if (begin[a], high) != (0, n):
            starts.append(begin[a])
            ends.append(high)
            axes.append(_axis(ctx, op, a, len(shape)))
    x, first = tensors.any(op)
    if axes:
        chosen = [FIRST_AXIS[a] for a in axes] if first else axes
        parts = [ctx.tensors.longs(v, w) for v, w in ((starts, "starts"), (ends, "ends"), (chosen, "axes"))]
        x = build.node("Slice", [x, *parts], name=tensors.title(op))
    _put(ctx, op, x, first=first)


@converts("DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
def blocks(ctx: Context, op: Operator) -> None:
    """Blocks of pixels to channels and back; TensorFlow's order of channels is ONNX's."""
    size = int(option(ctx, op, "BlockSize"))
    if not 1 <= size <= 1 << 16:
        raise ctx.tensors.fail(op, f"its block size is {size}")
    kind = "DepthToSpace" if op.op == "DEPTH_TO_SPACE" else "SpaceToDepth"
    y = ctx.build.node(kind, [ctx.tensors.first(op)], name=ctx.tensors.title(op), blocksize=size)
    _put(ctx, op, y, first=True)
