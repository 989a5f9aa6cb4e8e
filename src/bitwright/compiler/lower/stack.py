"""Sequences: joining steps along their axis, and picking one of them."""

from __future__ import annotations

from ..errors import Unsupported
from ..graph import Node
from ..program import Copy
from ..view import C, View
from .context import Context, lowers

# One COPY a step: a longer sequence would be no program for this engine.
_STEPS = 4096


def axis_of(view: View, axis: int) -> int:
    """The value's dimension of a (non-batch) axis of size > 1; 0 if the axis has size 1 and no dimension of its own."""
    axis += view.rank if axis < 0 else 0
    if axis == 0:
        raise Unsupported("it works along the batch axis.", "Samples of a batch must not influence each other.")
    if not 0 < axis < view.rank:
        raise Unsupported(f"axis {axis} is out of range for rank {view.rank}.")
    if view.order is not None:
        raise Unsupported("it cuts or joins a flattened map.", "Cut or join the map before flattening it.")
    dims = view.effective()[axis - 1]
    if len(dims) > 1:
        raise Unsupported("it cuts or joins a flattened map.", "Cut or join the map before flattening it.")
    return dims[0] if dims else 0


def stack(ctx: Context, node: Node, views: list[View], axis: int) -> None:
    """Concat of vectors, or of sequences of vectors, along the sequence -> one COPY a step."""
    first = views[0]
    lead = axis + first.rank if axis < 0 else axis
    dims = [axis_of(v, lead) for v in views]
    steps = [1 if d == 0 else v.value.dims[d - 1] for v, d in zip(views, dims, strict=True)]
    for v, n in zip(views, steps, strict=True):
        rest = [a for i, a in enumerate(v.effective()) if i != lead - 1 and a]
        if rest not in ([(C,)], []) or v.value.pixels != n or v.value.channels != first.value.channels:
            raise Unsupported(
                "it joins along another axis than the channels.",
                "Only channels can be joined, and vectors `[N, 1, C]` to a sequence.",
            )
    total = sum(steps)
    if total > _STEPS:
        raise Unsupported(f"it joins {total} steps; the limit is {_STEPS}.")
    axes = tuple((3,) if i == lead - 1 else a if a == (C,) else () for i, a in enumerate(first.axes))
    channels = first.value.channels
    store, result = ctx.store((1, 1, total, channels), axes, node)
    assert store.value is not None
    at = 0
    for v, d, n in zip(views, dims, steps, strict=True):
        for t in range(n):
            start = [0, 0, 0, 0]
            if d:
                start[d - 1] = t
            op = Copy(f"{node.name}.{at}", v.value, dst=store.value, count=(1, 1, 1, channels))
            op.start = (start[0], start[1], start[2], start[3])
            op.dst_channel = at * channels
            ctx.emit(op, node)
            at += 1
    ctx.result(node, result)


@lowers("Gather")
def gather(ctx: Context, node: Node) -> None:
    """Gather of one constant index (`x[:, 3]`) -> COPY of that slice; the axis disappears."""
    view = ctx.view(node)
    axis = int(node.attrs.get("axis", 0))
    axis += view.rank if axis < 0 else 0
    index = ctx.const(node, 1, "index")
    if index.ndim:
        raise Unsupported(f"it gathers a list of {index.size} indices.", "Only one constant index can be picked.")
    dim = axis_of(view, axis)
    length = view.shape[axis - 1]
    at = int(index) + (length if int(index) < 0 else 0)
    if not 0 <= at < length:
        raise Unsupported(f"its index {int(index)} is outside an axis of {length}.")
    axes = tuple(a for i, a in enumerate(view.axes) if i != axis - 1)
    if not dim:
        ctx.result(node, View(view.value, axes))
        return
    start, count = [0, 0, 0, 0], list(view.value.dims)
    start[dim - 1], count[dim - 1] = at, 1
    store, result = ctx.store((count[0], count[1], count[2], count[3]), axes, node)
    assert store.value is not None
    op = Copy(node.name, view.value, dst=store.value, count=store.value.dims)
    op.start = (start[0], start[1], start[2], start[3])
    ctx.emit(op, node)
    ctx.result(node, result)
