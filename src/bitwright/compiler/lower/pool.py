"""Pooling and reductions over space."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Unsupported
from ..graph import Node
from ..program import Dims3, DType, Geometry, Pool, PoolKind
from ..view import Axes, C, View, map_axes, spatial_dims
from .context import Context, lowers
from .window import Window, conv_window, dims3


def _emit(ctx: Context, node: Node, view: View, kind: PoolKind, geometry: Geometry, out: Dims3, axes: Axes) -> None:
    if view.value.dtype is not DType.F32:
        raise Unsupported("its input is an integer tensor.")
    store, result = ctx.store((*out, view.value.channels), axes, node)
    ctx.emit(Pool(node.name, view.value, [store], [], node.module, kind, out, geometry), node)
    ctx.result(node, result)


def _pool_out(window: Window, size: Dims3, ceil: bool) -> Dims3:
    out = []
    for i in range(3):
        extent = window.dilation[i] * (window.kernel[i] - 1) + 1
        room = size[i] + window.begin[i] + window.end[i] - extent
        o = (-(-room // window.stride[i]) if ceil else room // window.stride[i]) + 1
        if ceil and (o - 1) * window.stride[i] >= size[i] + window.begin[i]:
            o -= 1  # ONNX (and PyTorch): the last window must start inside the map or its left padding
        out.append(o)
    return (out[0], out[1], out[2])


@lowers("MaxPool", "AveragePool")
def pool(ctx: Context, node: Node) -> None:
    """MaxPool, AveragePool -> POOL."""
    if len([o for o in node.outputs if o]) > 1:
        raise Unsupported("its indices are used.", "Only the pooled map is computed.")
    is_max = node.op == "MaxPool"
    view = ctx.view(node, pad=True)
    kernel = [int(k) for k in node.attrs["kernel_shape"]]
    spatial = spatial_dims(view, len(kernel))
    window = conv_window(node, spatial, kernel, (view.size(1), view.size(2), view.size(3)))
    if view.pad is not None:
        if is_max and not view.pad.edge and view.pad.value == float("-inf"):
            window, view = window.with_pad(view.pad.begin, view.pad.end), replace(view, pad=None)
        else:
            view = ctx.unpadded(view)
    size = view.value.spatial
    out = _pool_out(window, size, bool(node.attrs.get("ceil_mode", 0)))
    for i in range(3):
        if out[i] < 1:
            raise Unsupported(f"its kernel {kernel} does not fit into its input {['N', *view.shape]}.")
        if window.begin[i] >= window.dilation[i] * (window.kernel[i] - 1) + 1 or window.end[i] >= (
            window.dilation[i] * (window.kernel[i] - 1) + 1
        ):
            raise Unsupported("its padding is as large as its window, which would be empty at the edge.")
    kind = PoolKind.MAX
    if not is_max:
        counted = bool(node.attrs.get("count_include_pad", 0)) and window.padded
        kind = PoolKind.AVERAGE_PADDED if counted else PoolKind.AVERAGE_VALID
    _emit(ctx, node, view, kind, window.geometry(), out, map_axes(spatial))


@lowers("GlobalAveragePool", "GlobalMaxPool")
def global_pool(ctx: Context, node: Node) -> None:
    """Global pooling: the window is the map."""
    view = ctx.view(node)
    spatial = spatial_dims(view, view.rank - 2)
    kind = PoolKind.MAX if node.op == "GlobalMaxPool" else PoolKind.AVERAGE_VALID
    _emit(ctx, node, view, kind, Geometry(kernel=view.value.spatial), (1, 1, 1), map_axes(spatial))


@lowers("ReduceMean", "ReduceMax")
def reduce(ctx: Context, node: Node) -> None:
    """Mean or maximum over spatial axes."""
    view = ctx.view(node)
    axes = ctx.ints(node, 1, "axes")
    if axes is None or not axes:
        if int(node.attrs.get("noop_with_empty_axes", 0)):
            ctx.result(node, view)
            return
        raise Unsupported("it reduces over all axes, the batch too.", "Reduce over the spatial axes only.")
    chosen = {a + view.rank if a < 0 else a for a in axes}
    if 0 in chosen:
        raise Unsupported("it reduces over the batch.", "Samples of a batch must not influence each other.")
    if not chosen <= set(range(1, view.rank)):
        raise Unsupported(f"its axes {axes} are out of range for rank {view.rank}.")
    dims = [d for a in chosen for d in view.effective()[a - 1]]
    if C in dims or view.order is not None:
        raise Unsupported("it reduces over the channels.", "Only spatial axes can be reduced.")
    value = view.value
    kernel = dims3({d: value.dims[d - 1] for d in dims}, 1)
    out = dims3({d: value.dims[d - 1] for d in (1, 2, 3) if d not in dims}, 1)
    kept = [() if i + 1 in chosen else axis for i, axis in enumerate(view.axes)]
    if not int(node.attrs.get("keepdims", 1)):
        kept = [axis for i, axis in enumerate(kept) if i + 1 not in chosen]
    kind = PoolKind.MAX if node.op == "ReduceMax" else PoolKind.AVERAGE_VALID
    _emit(ctx, node, view, kind, Geometry(kernel=kernel), out, tuple(kept))
