"""Operators that only rename, regroup or reorder axes: they change the view and emit nothing."""

from __future__ import annotations

import math

import numpy as np

from ..errors import Unsupported
from ..fold import BATCHES, Known, is_batch, shape_of
from ..graph import Node
from ..program import DType
from ..view import View, reshaped
from .context import Context, lowers

_MIXES = "Samples of a batch must not influence each other: keep the batch as the first axis."


@lowers("Identity", "Dropout")
def identity(ctx: Context, node: Node) -> None:
    """Identity; Dropout does nothing in inference."""
    if len([o for o in node.outputs if o]) > 1:
        raise Unsupported("its mask is used.", "Export the model after .eval().")
    if node.op == "Dropout" and node.input(2) and bool(ctx.const(node, 2, "training_mode").reshape(())):
        raise Unsupported("it is in training mode.", "Export the model after .eval().")
    ctx.result(node, ctx.view(node, pad=True))


@lowers("Cast", "CastLike")
def cast(ctx: Context, node: Node) -> None:
    """A Cast of an activation that changes nothing, or of a constant to an activation's type."""
    item = ctx.env[node.input(0)]
    if node.op == "CastLike" and isinstance(item, Known):
        like = np.float32 if ctx.view(node, 1).value.dtype is DType.F32 else np.int64
        a, b = (np.asarray(v).astype(like) for v in item.values)
        ctx.result(node, Known((a, a) if item.fixed else (a, b)))
        return
    view = ctx.view(node, pad=True)
    if node.op == "Cast":
        target = int(node.attrs["to"])
        integer = target in (6, 7)  # INT32, INT64
        if (view.value.dtype is DType.I32) != integer or (not integer and target != 1):
            raise Unsupported(f"it casts an activation to ONNX type {target}.", "Activations are float32.")
    elif isinstance(ctx.env[node.input(1)], Known) or view.value.dtype is not ctx.view(node, 1).value.dtype:
        raise Unsupported("it casts an activation.", "Activations are float32.")
    ctx.result(node, view)


@lowers("Shape")
def shape(ctx: Context, node: Node) -> None:
    """Shape of an activation: known but for the batch."""
    full = shape_of(ctx.view(node, pad=True).shape)
    start, end = int(node.attrs.get("start", 0)), node.attrs.get("end")
    ctx.result(node, Known((full.values[0][start:end], full.values[1][start:end])))


@lowers("Size")
def size(ctx: Context, node: Node) -> None:
    """Number of elements of an activation."""
    n = math.prod(ctx.view(node, pad=True).shape)
    ctx.result(node, Known((np.array(BATCHES[0] * n), np.array(BATCHES[1] * n))))


@lowers("Flatten")
def flatten(ctx: Context, node: Node) -> None:
    """Flatten to [N, features]."""
    view = ctx.view(node)
    axis = int(node.attrs.get("axis", 1))
    axis += view.rank if axis < 0 else 0
    if axis == 1:
        ctx.result(node, reshaped(view, (math.prod(view.shape),)))
        return
    raise Unsupported(f"it flattens the batch together with other axes (axis={axis}).", _MIXES)


def _target(ctx: Context, node: Node, view: View) -> tuple[int, ...]:
    """The target of a Reshape, without the batch axis."""
    item = ctx.env[node.input(1)]
    if not isinstance(item, Known):
        raise Unsupported("its shape is computed from the model's input.")
    rows = [np.asarray(v).reshape(-1).tolist() for v in item.values]
    pairs = list(zip(*rows, strict=True))
    source = view.shape
    total = math.prod(source)
    zero_is_zero = bool(int(node.attrs.get("allowzero", 0)))
    batch = [ctx.batch] if ctx.batch is not None else []
    if not pairs:
        raise Unsupported("it reshapes to a scalar.", _MIXES)
    target: list[int] = []
    for i, pair in enumerate(pairs[1:], start=1):
        n = pair[0]
        if pair[0] != pair[1]:
            raise Unsupported("its shape has the batch size in an axis other than the first.", _MIXES)
        if n == 0 and not zero_is_zero:
            if i > len(source):
                raise Unsupported(f"its shape copies axis {i}, which the input does not have.")
            n = source[i - 1]
        target.append(int(n))
    known = math.prod(n for n in target if n != -1)
    if -1 in target:
        if known == 0 or total % known:
            raise Unsupported(f"cannot reshape {['N', *source]} to {['N', *target]}.", _MIXES)
        target[target.index(-1)] = total // known
    first = pairs[0]
    keeps = (
        is_batch(first) or first[0] in (*batch, *(() if zero_is_zero else (0,))) or (first[0] == -1 and known == total)
    )
    if not keeps or math.prod(target) != total:
        raise Unsupported(
            f"it reshapes {['N', *source]} to {[first[0], *target]}, which moves data between samples.", _MIXES
        )
    return tuple(target)


@lowers("Reshape")
def reshape(ctx: Context, node: Node) -> None:
    """Reshape that merges whole axes or moves axes of size 1."""
    view = ctx.view(node)
    ctx.result(node, reshaped(view, _target(ctx, node, view)))


@lowers("Squeeze")
def squeeze(ctx: Context, node: Node) -> None:
    """Squeeze of axes of size 1."""
    view = ctx.view(node)
    axes = ctx.ints(node, 1, "axes")
    if axes is None:
        raise Unsupported("its axes are not given, so a batch of one would vanish.", "Name the axes.")
    drop = {a + view.rank if a < 0 else a for a in axes}
    if 0 in drop:
        raise Unsupported("it removes the batch axis.", _MIXES)
    if any(a >= view.rank or view.shape[a - 1] != 1 for a in drop):
        raise Unsupported(f"axes {axes} of {['N', *view.shape]} do not all have size 1.")
    ctx.result(node, view.with_axes(tuple(axis for i, axis in enumerate(view.axes) if i + 1 not in drop)))


@lowers("Unsqueeze")
def unsqueeze(ctx: Context, node: Node) -> None:
    """Unsqueeze behind the batch axis."""
    view = ctx.view(node)
    axes = ctx.ints(node, 1, "axes") or []
    rank = view.rank + len(axes)
    where = {a + rank if a < 0 else a for a in axes}
    if 0 in where or not where <= set(range(rank)):
        raise Unsupported(f"its axes {axes} put an axis before the batch.", _MIXES)
    rest = iter(view.axes)
    ctx.result(node, view.with_axes(tuple(() if i in where else next(rest) for i in range(1, rank))))


@lowers("Transpose")
def transpose(ctx: Context, node: Node) -> None:
    """Transpose that keeps the batch first."""
    view = ctx.view(node)
    perm = [int(p) for p in node.attrs.get("perm", range(view.rank)[::-1])]
    if sorted(perm) != list(range(view.rank)):
        raise Unsupported(f"perm {perm} does not fit rank {view.rank}.")
    if perm[0] != 0:
        raise Unsupported(f"perm {perm} moves the batch axis.", _MIXES)
    ctx.result(node, view.with_axes(tuple(view.axes[p - 1] for p in perm[1:])))


@lowers("Expand")
def expand(ctx: Context, node: Node) -> None:
    """An Expand that changes nothing."""
    view = ctx.view(node, pad=True)
    item = ctx.env[node.input(1)]
    if isinstance(item, Known):
        rows = [np.asarray(v).reshape(-1).tolist() for v in item.values]
        pairs = list(zip(*rows, strict=True))
        if (
            len(pairs) <= view.rank
            and all(p in ((1, 1), (n, n)) for p, n in zip(pairs[::-1], view.shape[::-1], strict=False))
            and (len(pairs) < view.rank or is_batch(pairs[0]) or pairs[0] == (1, 1))
        ):
            ctx.result(node, view)
            return
    raise Unsupported(f"it enlarges its input {['N', *view.shape]}.", "Let the operator that follows broadcast.")
