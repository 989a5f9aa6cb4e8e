"""How a tensor of the ONNX graph lies in a value of the program.

Values are channels-last maps (D, H, W, C). An ONNX tensor `[N, a1, a2, ...]` is a *view* of one: each of its axes is
a list of the value's
dimensions, in row-major order, e.g. NCHW is ((4,), (2,), (3,)) and its flattening ((4, 2, 3),). So Transpose,
Flatten, Reshape, Squeeze and
Unsqueeze move no data. A dimension of size 1 may be missing from a view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .errors import Unsupported
from .program import Dims3, Meaning, PadMode, Value

Axes = tuple[tuple[int, ...], ...]
CHANNELS_FIRST: dict[int, Axes] = {
    0: (),
    1: ((4,),),
    2: ((4,), (3,)),
    3: ((4,), (2,), (3,)),
    4: ((4,), (1,), (2,), (3,)),
}
C = 4  # number of the channel dimension in `external axes` and in views: 1 D, 2 H, 3 W, 4 C


@dataclass(frozen=True)
class PendingPad:
    """A spatial Pad that no op has run yet: the next convolution or pooling takes it over."""

    begin: Dims3
    end: Dims3
    edge: bool
    value: float
    tensor: str = ""  # name of the padded tensor in the ONNX graph

    def mode(self) -> PadMode:
        return PadMode.EDGE if self.edge else PadMode.ZERO


@dataclass(frozen=True)
class View:
    """A tensor `[N, *shape]` that lies in `value`.

    `order`: for a vector whose features lie in another order than the ONNX tensor's: feature i is channel order[i].
    """

    value: Value
    axes: Axes
    order: npt.NDArray[np.int64] | None = None
    pad: PendingPad | None = None

    def size(self, dim: int) -> int:
        n = self.value.dims[dim - 1]
        if self.pad is not None and dim != C:
            n += self.pad.begin[dim - 1] + self.pad.end[dim - 1]
        return n

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without the batch axis."""
        return tuple(math.prod(self.size(d) for d in axis) for axis in self.axes)

    @property
    def rank(self) -> int:
        """Rank with the batch axis."""
        return len(self.axes) + 1

    def effective(self) -> Axes:
        """Axes without dimensions of size 1: two views of one value are the same tensor layout if these are equal."""
        return tuple(tuple(d for d in axis if self.size(d) != 1) for axis in self.axes)

    def meaning(self, tensor: str) -> Meaning:
        """How the value's elements follow from the ONNX tensor `tensor`."""
        dims = [d for axis in self.axes for d in axis]
        missing = [d for d in (1, 2, 3, 4) if d not in dims]
        if self.order is not None:
            # channel order[i] = feature i; written as split/perm it is a transpose, which the caller supplies itself
            raise AssertionError("a reordered view has no split/perm meaning")
        allowed = [*dims, *missing]
        split = tuple(self.value.dims[d - 1] for d in allowed)
        perm = tuple(allowed.index(d) for d in (1, 2, 3, 4))
        return Meaning(tensor, split, perm)

    def with_axes(self, axes: Axes) -> View:
        return replace(self, axes=axes)


def spatial_dims(view: View, count: int) -> tuple[int, ...]:
    """The value's dimension (1 D, 2 H, 3 W) of each of the `count` spatial axes of a map `[N, C, *S]`.

    Raises `Unsupported` when the tensor does not lie as a channels-last map.
    """
    if view.rank != count + 2:
        raise Unsupported(f"its input has rank {view.rank}, it needs {count + 2}: [N, C, {count} spatial axes].")
    channels, *space = view.effective()
    if view.order is not None or channels not in ((), (C,)) or any(len(a) > 1 or a == (C,) for a in space):
        raise Unsupported(
            f"its input {['N', *view.shape]} is a reshaped or transposed map whose channels are not its second axis.",
            "Move the reshape behind this layer, or make the layer part of the map before it.",
        )
    if channels == () and view.value.channels != 1:
        raise Unsupported("its input's channels were moved to another axis.", "Transpose back before this layer.")
    usual = [a[0] for a in CHANNELS_FIRST[count + 1][1:]]
    found: list[int | None] = [a[0] if a else None for a in space]
    used = {d for d in found if d is not None}
    free = [d for d in (3, 2, 1) if d not in used and view.size(d) == 1]
    for i, d in enumerate(found):
        if d is None:
            pick = usual[i] if usual[i] in free else free[0]
            free.remove(pick)
            found[i] = pick
    result = tuple(d for d in found if d is not None)
    rest = [d for d in (1, 2, 3) if d not in result and view.size(d) != 1]
    if rest:
        raise Unsupported("its input is a map with more spatial dimensions than the layer expects.")
    return result


def map_axes(spatial: tuple[int, ...]) -> Axes:
    """Axes of a map `[N, C, *S]` whose spatial axes lie in these dimensions."""
    return ((C,), *((d,) for d in spatial))


def per_channel(view: View, const: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """A constant that broadcasts with the view `[N, *shape]`, as float32 `[C]` or `[1]`; None if it varies within a
    channel.

    Raises `Unsupported` when the shapes do not broadcast to the view's shape.
    """
    const = np.asarray(const, dtype=np.float32)
    if const.size == 1:
        if const.ndim > view.rank:
            raise Unsupported(f"a constant of shape {list(const.shape)} would change the rank of its input.")
        return const.reshape(1)
    full = (1, *view.shape)
    try:
        wide = np.broadcast_to(const, full)
    except ValueError:
        raise Unsupported(
            f"a constant of shape {list(const.shape)} does not broadcast to {['N', *view.shape]} of its input."
        ) from None
    if view.order is not None:
        result = np.empty(view.value.channels, dtype=np.float32)
        result[view.order] = wide.reshape(-1)
    else:
        dims = [d for axis in view.axes for d in axis]
        cube: npt.NDArray[np.float32] = wide.reshape(tuple(view.size(d) for d in dims))
        cube = np.moveaxis(cube, dims.index(C), -1) if C in dims else np.expand_dims(cube, -1)
        cube = cube.reshape(-1, cube.shape[-1])
        if not np.array_equal(cube, np.broadcast_to(cube[:1], cube.shape), equal_nan=True):
            return None
        result = np.ascontiguousarray(cube[0])
    if result.size > 1 and bool(np.all(result == result[0])):
        return result[:1].copy()
    return result


def _take(dims: list[int], size: int, view: View) -> tuple[int, ...] | None:
    """Removes leading dimensions of product `size` from `dims`."""
    taken: list[int] = []
    n = 1
    while n < size and dims:
        taken.append(dims.pop(0))
        n *= view.size(taken[-1])
    return tuple(taken) if n == size else None


def reshaped(view: View, shape: tuple[int, ...]) -> View:
    """The view with its axes (without batch) regrouped to `shape`; raises `Unsupported` if an axis would split a
    dimension."""
    if math.prod(shape) != math.prod(view.shape):
        raise Unsupported(f"cannot reshape {['N', *view.shape]} to {['N', *shape]}: not the same number of elements.")
    if view.order is not None:
        keep = [n for n in shape if n != 1]
        if len(keep) > 1:
            raise Unsupported(
                f"reshaping a flattened map to {['N', *shape]} needs its data in another order.",
                "Use the map itself instead of flattening it first.",
            )
        axes: Axes = tuple((C,) if n != 1 else () for n in shape)
        return view.with_axes(axes)
    dims = [d for axis in view.axes for d in axis if view.size(d) != 1]
    out: list[tuple[int, ...]] = []
    for n in shape:
        if n == 1:
            out.append(())
            continue
        taken = _take(dims, n, view)
        if taken is None:
            raise Unsupported(
                f"reshaping {['N', *view.shape]} to {['N', *shape]} splits an axis.",
                "The engine keeps maps channels-last: "
                "only reshapes that merge whole axes, or add and remove axes of size 1, are free.",
            )
        out.append(taken)
    return view.with_axes(tuple(out))
