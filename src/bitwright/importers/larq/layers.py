"""Standard TFLite layers: convolutions, dense layers, pooling, resizing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .reader import Operator
from .registry import Context, activation, converts, option, window_pads


def _weight(ctx: Context, op: Operator, order: tuple[int, ...], reshape: tuple[int, ...] | None = None) -> str:
    """Input 1, transposed; int8 weights stay int8 behind a DequantizeLinear."""
    tensor, build = ctx.tensors.of(op, 1), ctx.build
    data = ctx.tensors.const(op, 1, "weight")
    q = tensor.quantization
    if data.dtype not in (np.int8, np.uint8) or q is None:
        real = ctx.tensors.real_const(op, 1, "weight").transpose(order)
        return build.constant(real.reshape(reshape) if reshape else real, f"{ctx.tensors.title(op)}.weight")
    data = data.transpose(order)
    axis: int | None = None
    if not q.per_tensor:
        axis = order.index(q.axis)
        if reshape is not None:
            data, axis = data.reshape(reshape), 0
    elif reshape is not None:
        data = data.reshape(reshape)
    scale, zero = (q.scale, q.zero_point) if axis is not None else (q.scale.reshape(()), q.zero_point.reshape(()))
    names = [
        build.constant(data, f"{ctx.tensors.title(op)}.weight"),
        build.constant(scale.astype(np.float32), "scale"),
        build.constant(zero.astype(data.dtype), "zero_point"),
    ]
    return build.node("DequantizeLinear", names, axis=axis)


def _bias(ctx: Context, op: Operator, outputs: int) -> list[str]:
    nudge = double_rounding(ctx, op)
    if not ctx.tensors.has(op, 2):
        data = np.zeros(outputs, np.float32)
        if not nudge.any():
            return []
    else:
        data = ctx.tensors.real_const(op, 2, "bias").reshape(-1)
    if data.size != outputs:
        raise ctx.tensors.fail(op, f"its bias has {data.size} elements for {outputs} outputs")
    return [ctx.build.constant((data + nudge).astype(np.float32), f"{ctx.tensors.title(op)}.bias")]


def double_rounding(ctx: Context, op: Operator) -> NDArray[np.float64]:
    """What to add to a product of two quantised tensors so that one rounding gives TensorFlow Lite's level.

    Matrix products have the effective scale M = m * 2^-s, m in [0.5, 1). The fixed-point product is rounded to s bits
    behind the point, and then half up: a level begins half a bit, 2^-(s+1), earlier. 0 where nothing is quantised.
    """
    given = [ctx.tensors.of(op, i).quantization for i in (0, 1)]
    out = ctx.tensors.out(op).quantization
    if out is None or given[0] is None or given[1] is None:
        return np.zeros(1)
    return half_bit(given[0].scale.astype(np.float64) * given[1].scale / out.scale) * out.scale


def half_bit(effective: NDArray[np.float64]) -> NDArray[np.float64]:
    """2^-(s+1) levels of an effective scale m * 2^-s; a little more, so that a tie of the first rounding counts."""
    return np.exp2(-(np.maximum(-np.frexp(effective)[1], 0) + 1.0)) * (1 + 2.0**-12)


def _window(ctx: Context, op: Operator, kernel: list[int]) -> dict[str, Any]:
    stride = [int(option(ctx, op, "StrideH")), int(option(ctx, op, "StrideW"))]
    dilation = [1, 1]
    if hasattr(op.table, "DilationHFactor"):
        dilation = [int(option(ctx, op, "DilationHFactor")), int(option(ctx, op, "DilationWFactor"))]
    pads = window_pads(ctx, op, int(option(ctx, op, "Padding")), kernel, stride, dilation)
    return {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pads}


def _finish(ctx: Context, op: Operator, y: str) -> None:
    y = activation(ctx, op, y, int(option(ctx, op, "FusedActivationFunction")))
    ctx.tensors.put(op, y, first=True)


@converts("CONV_2D")
def conv(ctx: Context, op: Operator) -> None:
    """Conv with weights [O, kh, kw, C/groups]."""
    weight = ctx.tensors.const(op, 1, "weight")
    if weight.ndim != 4 or 0 in weight.shape:
        raise ctx.tensors.fail(op, f"its weight has the shape {list(weight.shape)}; 4 axes are needed")
    outputs, height, width, channels = weight.shape
    window = _window(ctx, op, [height, width])
    groups, rest = divmod(ctx.tensors.shape(op)[3], channels)
    if rest or not groups or outputs % groups:
        raise ctx.tensors.fail(
            op, f"its weight {list(weight.shape)} does not fit an input {list(ctx.tensors.shape(op))}"
        )
    inputs = [ctx.tensors.first(op), _weight(ctx, op, (0, 3, 1, 2)), *_bias(ctx, op, outputs)]
    _finish(ctx, op, ctx.build.node("Conv", inputs, name=ctx.tensors.title(op), group=groups, **window))


@converts("DEPTHWISE_CONV_2D")
def depthwise(ctx: Context, op: Operator) -> None:
    """A Conv with as many groups as channels; weights [1, kh, kw, C*multiplier]."""
    weight = ctx.tensors.const(op, 1, "weight")
    if weight.ndim != 4 or weight.shape[0] != 1 or 0 in weight.shape:
        raise ctx.tensors.fail(
            op, f"its weight has the shape {list(weight.shape)}; [1, height, width, outputs] is needed"
        )
    _, height, width, outputs = weight.shape
    window = _window(ctx, op, [height, width])
    channels = ctx.tensors.shape(op)[3]
    if not channels or outputs % channels:
        raise ctx.tensors.fail(op, f"its {outputs} outputs are no multiple of {channels} channels")
    inputs = [ctx.tensors.first(op), _weight(ctx, op, (3, 0, 1, 2)), *_bias(ctx, op, outputs)]
    _finish(ctx, op, ctx.build.node("Conv", inputs, name=ctx.tensors.title(op), group=channels, **window))


@converts("FULLY_CONNECTED")
def dense(ctx: Context, op: Operator) -> None:
    """Gemm over the last axis of the weight [O, features]; the input is flattened to rows of features."""
    tensors, build = ctx.tensors, ctx.build
    weight = tensors.const(op, 1, "weight")
    if weight.ndim != 2 or 0 in weight.shape or int(option(ctx, op, "WeightsFormat")):
        raise tensors.fail(op, f"its weight has the shape {list(weight.shape)}; a plain [outputs, features] is needed")
    outputs, features = weight.shape
    shape, out = tensors.shape(op), tensors.out(op).shape
    if shape[-1:] != (features,) or len(shape) != 2:
        rows = int(np.prod(shape, dtype=np.int64)) // features
        if rows * features != np.prod(shape, dtype=np.int64):
            raise tensors.fail(op, f"its input {list(shape)} does not divide into rows of {features} features")
        if rows != shape[0]:
            tensors.need_fixed_batch(op)
        target = ctx.tensors.longs([tensors.batch([rows]), features], "shape")
        x = build.node("Reshape", [tensors.plain(op), target])
    else:
        rows, x = shape[0], tensors.plain(op)
    y = build.node("Gemm", [x, _weight(ctx, op, (0, 1)), *_bias(ctx, op, outputs)], name=tensors.title(op), transB=1)
    y = activation(ctx, op, y, int(option(ctx, op, "FusedActivationFunction")))
    if out != (rows, outputs):
        if len(out) < 2 or out[0] != rows:
            tensors.need_fixed_batch(op)
        y = build.node("Reshape", [y, ctx.tensors.longs([tensors.batch(out), *out[1:]], "shape")])
    tensors.put(op, y)


@converts("MAX_POOL_2D", "AVERAGE_POOL_2D")
def pool(ctx: Context, op: Operator) -> None:
    """Pooling; the average is over the pixels inside the map."""
    window = _window(ctx, op, [int(option(ctx, op, "FilterHeight")), int(option(ctx, op, "FilterWidth"))])
    window.pop("dilations")
    is_max = op.op == "MAX_POOL_2D"
    kind = "MaxPool" if is_max else "AveragePool"
    y = ctx.build.node(kind, [ctx.tensors.first(op)], name=ctx.tensors.title(op), **window)
    fused = int(option(ctx, op, "FusedActivationFunction"))
    y = activation(ctx, op, y, fused)
    if not is_max:
        y = _ties_away(ctx, op, y)
    ctx.tensors.put(op, y, first=True, exact=is_max and not fused and same_levels(ctx, op))


def _ties_away(ctx: Context, op: Operator, y: str) -> str:
    """An average of levels is often a tie; TensorFlow Lite rounds the stored levels half away from 0."""
    q, build = ctx.tensors.out(op).quantization, ctx.build
    if q is None or not same_levels(ctx, op):
        return y
    zero = build.constant((q.zero_point * q.scale).astype(np.float32).reshape(()), "zero")
    return away_from_zero(ctx, y, q.scale * np.float32(2.0**-14), build.node("Add", [y, zero]))


def away_from_zero(ctx: Context, y: str, nudge: NDArray[np.floating[Any]], side: str = "") -> str:
    """y moved by `nudge` away from 0, in the direction that `side` has (y itself, if it is not given)."""
    build = ctx.build
    amount = build.constant(np.float32(nudge).reshape(()), "nudge")
    return build.node("Add", [y, build.node("Mul", [build.node("Sign", [side or y]), amount])])


def same_levels(ctx: Context, op: Operator, i: int = 0) -> bool:
    """Whether input i and the output have the same scale and zero point: moving levels needs no rounding."""
    a, b = ctx.tensors.of(op, i), ctx.tensors.out(op)
    if a.quantization is None or b.quantization is None:
        return a.quantization is b.quantization
    return (
        a.dtype == b.dtype
        and np.array_equal(a.quantization.scale, b.quantization.scale)
        and np.array_equal(a.quantization.zero_point, b.quantization.zero_point)
    )


@converts("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resize(ctx: Context, op: Operator) -> None:
    """Resize to a constant size."""
    shape = ctx.tensors.shape(op)
    size = ctx.tensors.ints(op, 1, "size")
    if len(size) != 2 or len(shape) != 4 or not all(1 <= n <= 1 << 16 for n in size):
        raise ctx.tensors.fail(op, f"its size is {size} for an input {list(shape)}; [height, width] is needed")
    corners, centers = bool(option(ctx, op, "AlignCorners")), bool(option(ctx, op, "HalfPixelCenters"))
    mode = "align_corners" if corners else "half_pixel" if centers else "asymmetric"
    attributes: dict[str, Any] = {"coordinate_transformation_mode": mode, "mode": "linear"}
    if op.op == "RESIZE_NEAREST_NEIGHBOR":
        # TensorFlow: floor((x + 0.5) * s) with half-pixel centers, which is round(((x + 0.5) * s) - 0.5)
        attributes["mode"] = "nearest"
        attributes["nearest_mode"] = "round_prefer_ceil" if corners or centers else "floor"
    sizes = ctx.tensors.longs(size, "sizes")
    inputs = [ctx.tensors.first(op), "", "", sizes]
    attributes["axes"] = [2, 3]
    y = ctx.build.node("Resize", inputs, name=ctx.tensors.title(op), **attributes)
    exact = attributes["mode"] == "nearest" and same_levels(ctx, op)
    ctx.tensors.put(op, y, first=True, exact=exact)
