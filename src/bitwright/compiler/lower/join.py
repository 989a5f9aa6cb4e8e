"""Operators that cut and join maps: Concat, Slice, Split, Pad, and the sequence form of Split that PyTorch's `chunk`
exports to."""

from __future__ import annotations

from ..errors import Unsupported
from ..graph import Node
from ..program import Copy, Dims3, Dims4, DType, Value
from ..view import C, PendingPad, View
from .context import Context, lowers
from .stack import axis_of, stack


@lowers("Concat")
def concat(ctx: Context, node: Node) -> None:
    """Concat over channels -> one COPY an input; of a sequence's steps -> one COPY a step."""
    axis = int(node.attrs["axis"])
    views = [ctx.view(node, i) for i in range(len(node.inputs))]
    first = views[0]
    for v in views:
        if v.rank != first.rank or v.value.dtype is not DType.F32:
            raise Unsupported("its inputs differ in rank or are integers.")
    if any(axis_of(v, axis) not in (C, 0) or (axis_of(v, axis) == 0 and v.value.channels != 1) for v in views):
        stack(ctx, node, views, axis)
        return
    lead = axis + first.rank if axis < 0 else axis
    axes = tuple((C,) if i == lead - 1 else tuple(d for d in a if d != C) for i, a in enumerate(first.axes))
    for v in views:
        same = [a for i, a in enumerate(v.effective()) if i != lead - 1]
        if v.value.spatial != first.value.spatial or same != [
            a for i, a in enumerate(first.effective()) if i != lead - 1
        ]:
            raise Unsupported(f"its inputs {['N', *first.shape]} and {['N', *v.shape]} differ in size or layout.")
    total = sum(v.value.channels for v in views)
    store, result = ctx.store((*first.value.spatial, total), axes, node)
    assert store.value is not None
    at = 0
    for i, v in enumerate(views):
        op = Copy(f"{node.name}.{i}", v.value, dst=store.value, count=v.value.dims, dst_channel=at)
        ctx.emit(op, node)
        at += v.value.channels
    ctx.result(node, result)


def _box(ctx: Context, node: Node, view: View, start: Dims4, step: Dims4, count: Dims4, i: int = 0) -> None:
    if start == (0, 0, 0, 0) and count == view.value.dims:
        ctx.result(node, view, i)
        return
    value = Value(DType.F32, count)
    out = View(value, view.axes)
    value.meaning = out.meaning(node.outputs[i])
    ctx.emit(Copy(node.name, view.value, dst=value, start=start, step=step, count=count), node)
    ctx.result(node, out, i)


def _tuple4(values: list[int]) -> Dims4:
    return (values[0], values[1], values[2], values[3])


@lowers("Slice")
def slice_(ctx: Context, node: Node) -> None:
    """Slice with positive steps -> COPY."""
    view = ctx.view(node)
    starts, ends = ctx.ints(node, 1, "starts"), ctx.ints(node, 2, "ends")
    if starts is None or ends is None:
        raise Unsupported("its starts or ends are missing.")
    axes = ctx.ints(node, 3, "axes") or list(range(len(starts)))
    steps = ctx.ints(node, 4, "steps") or [1] * len(starts)
    start, step, count = [0] * 4, [1] * 4, list(view.value.dims)
    for s, e, a, k in zip(starts, ends, axes, steps, strict=True):
        a += view.rank if a < 0 else 0
        if a == 0 and s == 0 and k == 1 and e >= (1 << 31) - 1:
            continue  # all samples: PyTorch writes x[:, ...] like this
        length = 1
        if a != 0:
            length = view.shape[a - 1]
        lo, hi, stride = slice(s, e, k).indices(length)
        if a != 0 and (lo, hi, stride) == (0, length, 1):
            continue
        dim = axis_of(view, a)
        n = len(range(lo, hi, stride))
        if k < 1 or n < 1:
            raise Unsupported(
                f"it takes {n} elements with step {k} of axis {a}.", "Steps must be positive, results not empty."
            )
        if dim:
            start[dim - 1], step[dim - 1], count[dim - 1] = lo, stride, n
    _box(ctx, node, view, _tuple4(start), _tuple4(step), _tuple4(count))


def _split(ctx: Context, node: Node, view: View, axis: int, sizes: list[int]) -> None:
    dim = axis_of(view, axis)
    if not dim or sum(sizes) != view.value.dims[dim - 1] or min(sizes) < 1:
        raise Unsupported(f"its pieces {sizes} do not add up to axis {axis} of {['N', *view.shape]}.")
    at = 0
    for i, n in enumerate(sizes):
        start, count = [0] * 4, list(view.value.dims)
        start[dim - 1], count[dim - 1] = at, n
        at += n
        if i < len(node.outputs) and node.outputs[i]:
            _box(ctx, node, view, _tuple4(start), (1, 1, 1, 1), _tuple4(count), i)


@lowers("Split")
def split(ctx: Context, node: Node) -> None:
    """Split -> one COPY a piece."""
    view = ctx.view(node)
    axis = int(node.attrs.get("axis", 0))
    sizes = ctx.ints(node, 1, "split")
    if sizes is None:
        n = int(node.attrs.get("num_outputs", len(node.outputs)))
        length = (0, *view.shape)[axis]
        each = -(-length // n)
        sizes = [each] * (n - 1) + [length - each * (n - 1)]
    _split(ctx, node, view, axis, sizes)


@lowers("SplitToSequence")
def split_to_sequence(ctx: Context, node: Node) -> None:
    """The form that `torch.chunk` exports to; the pieces are cut by SequenceAt."""
    view = ctx.view(node)
    axis = int(node.attrs.get("axis", 0))
    axis += view.rank if axis < 0 else 0
    dim = axis_of(view, axis)
    if not dim or not int(node.attrs.get("keepdims", 1)) or not node.input(1):
        raise Unsupported("it splits an axis of size 1 or drops the axis.")
    length = view.value.dims[dim - 1]
    given = ctx.const(node, 1, "split")
    if given.ndim == 0:
        each = int(given)
        sizes = [each] * (length // each) + ([length % each] if length % each else [])
    else:
        sizes = [int(v) for v in given]
    if sum(sizes) != length or min(sizes) < 1:
        raise Unsupported(f"its pieces {sizes} do not add up to {length}.")
    pieces: list[View] = []
    at = 0
    for n in sizes:
        start, count = [0] * 4, list(view.value.dims)
        start[dim - 1], count[dim - 1] = at, n
        at += n
        value = Value(DType.F32, _tuple4(count))
        piece = View(value, view.axes)
        ctx.emit(Copy(node.name, view.value, dst=value, start=_tuple4(start), count=_tuple4(count)), node)
        pieces.append(piece)
    ctx.result(node, pieces)


@lowers("SequenceAt")
def sequence_at(ctx: Context, node: Node) -> None:
    """One piece of a sequence."""
    pieces = ctx.env[node.input(0)]
    if not isinstance(pieces, list):
        raise Unsupported("its input is no sequence.")
    index = int(ctx.const(node, 1, "position").reshape(()))
    if not -len(pieces) <= index < len(pieces):
        raise Unsupported(f"position {index} is outside a sequence of {len(pieces)}.")
    piece = pieces[index]
    if piece.value.meaning is None:
        piece.value.meaning = piece.meaning(node.outputs[0])
    ctx.result(node, piece)


def _pads(ctx: Context, node: Node, view: View) -> tuple[list[int], list[int]]:
    pads = ctx.ints(node, 1, "pads") or []
    axes = [int(a) for a in ctx.const(node, 3, "axes")] if node.input(3) else list(range(view.rank))
    if len(pads) != 2 * len(axes):
        raise Unsupported(f"its pads {pads} do not fit {len(axes)} axes.")
    begin, end = [0] * 4, [0] * 4
    for i, a in enumerate(axes):
        lo, hi = pads[i], pads[len(axes) + i]
        if lo == 0 and hi == 0:
            continue
        a += view.rank if a < 0 else 0
        if min(lo, hi) < 0:
            raise Unsupported(f"negative padding {pads}.", "Slice the map instead.")
        dim = axis_of(view, a)
        if not dim:  # an axis of size 1: give it the dimension that its neighbours leave free
            named = view.axes[a - 1]
            if len(named) != 1:
                raise Unsupported(f"it pads axis {a} of {['N', *view.shape]}, which has no dimension of its own.")
            dim = named[0]
        begin[dim - 1], end[dim - 1] = lo, hi
    return begin, end


@lowers("Pad")
def pad(ctx: Context, node: Node) -> None:
    """Pad of channels with zeros -> COPY; of space -> taken over by the next convolution, or a depthwise copy."""
    view = ctx.view(node)
    if view.value.dtype is not DType.F32:
        raise Unsupported("its input is an integer tensor.")
    mode = str(node.attrs.get("mode", "constant"))
    value = float(node.attrs.get("value", 0.0))
    if node.input(2):
        value = float(ctx.const(node, 2, "constant value").reshape(()))
    begin, end = _pads(ctx, node, view)
    if not any(begin) and not any(end):
        ctx.result(node, view)
        return
    if mode not in ("constant", "edge"):
        raise Unsupported(f"mode {mode!r}.", "Only 'constant' and 'edge' are supported.")
    channels = begin[3] + end[3]
    if channels:
        if any(begin[:3]) or any(end[:3]) or mode != "constant" or value != 0:
            raise Unsupported("it pads channels together with space, or with other values than 0.", "Use two Pads.")
        dims = view.value.dims
        store, result = ctx.store((*dims[:3], dims[3] + channels), view.axes, node)
        assert store.value is not None
        op = Copy(node.name, view.value, dst=store.value, count=dims, dst_channel=begin[3], zero_rest=True)
        ctx.emit(op, node)
        ctx.result(node, result)
        return
    low: Dims3 = (begin[0], begin[1], begin[2])
    high: Dims3 = (end[0], end[1], end[2])
    pending = PendingPad(low, high, mode == "edge", value, node.outputs[0])
    ctx.result(node, View(view.value, view.axes, view.order, pending))
