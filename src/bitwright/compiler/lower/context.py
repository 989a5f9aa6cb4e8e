"""What the lowering of a node works with: the environment of known tensors and views, and the program that grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import Unsupported
from ..fold import Known
from ..graph import Graph, Node
from ..program import (
    Const,
    Copy,
    Dims3,
    Dims4,
    DType,
    FConv,
    Geometry,
    Map,
    Op,
    Program,
    Step,
    StepKind,
    Value,
)
from ..view import Axes, C, View, per_channel

if TYPE_CHECKING:
    from .binarize import Levels

Item = Known | View | list[View]
Lowering = Callable[["Context", Node], None]
REGISTRY: dict[tuple[str, str], Lowering] = {}
# A flattened map becomes a vector by one COPY a pixel.
_REORDER_LIMIT = 4096


def lowers(*ops: str, domain: str = "") -> Callable[[Lowering], Lowering]:
    """Registers the lowering of ONNX operators."""

    def register(fn: Lowering) -> Lowering:
        for op in ops:
            REGISTRY[domain, op] = fn
        return fn

    return register


class Context:
    """Environment of one lowering."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.opset = graph.opset
        self.env: dict[str, Item] = {}
        self.batch: int | None = None  # the batch size that the file fixes, if it does
        self.program = Program()
        self.levels: dict[int, Levels] = {}  # id of a map of two levels -> where it came from
        self._reordered: dict[tuple[int, Axes], View] = {}
        self._padded: dict[tuple[int, Any], View] = {}

    # --- inputs of a node

    def view(self, node: Node, i: int = 0, *, pad: bool = False) -> View:
        """Input i as an activation; a pending Pad is run first unless `pad` says that the caller takes it."""
        item = self._item(node, i)
        if isinstance(item, View):
            return item if pad else self.unpadded(item)
        if isinstance(item, Known):
            raise Unsupported(f"input {i} ({node.input(i)!r}) is a constant; an activation is expected there.")
        raise Unsupported(f"input {i} ({node.input(i)!r}) is a sequence of tensors.")

    def const(self, node: Node, i: int, what: str) -> npt.NDArray[Any]:
        """Input i as a constant; `what` names it in errors."""
        item = self._item(node, i)
        if not isinstance(item, Known):
            raise Unsupported(
                f"its {what} ({node.input(i)!r}) is computed from the model's input; it must be a constant."
            )
        return item.constant(what)

    def floats(self, node: Node, i: int, what: str) -> npt.NDArray[np.float32]:
        """Input i as a float32 constant without NaN."""
        data = self.const(node, i, what)
        if data.dtype != np.float32:
            raise Unsupported(f"its {what} ({node.input(i)!r}) is {data.dtype}, not float32.")
        if np.isnan(data).any():
            raise Unsupported(f"its {what} ({node.input(i)!r}) contains NaN.", "The training has diverged.")
        return data

    def is_const(self, node: Node, i: int) -> bool:
        return isinstance(self.env.get(node.input(i)), Known)

    def ints(self, node: Node, i: int, attr: str) -> list[int] | None:
        """A list of integers that is an attribute in old opsets and input i in new ones."""
        if node.input(i):
            return [int(v) for v in np.atleast_1d(self.const(node, i, attr))]
        return [int(v) for v in node.attrs[attr]] if attr in node.attrs else None

    def _item(self, node: Node, i: int) -> Item:
        name = node.input(i)
        if not name:
            raise Unsupported(f"input {i} is missing.")
        return self.env[name]

    # --- building the program

    def emit(self, op: Op, node: Node) -> None:
        op.nodes.append(node.name)
        op.module = op.module or node.module
        self.program.ops.append(op)

    def store(
        self, dims: Dims4, axes: Axes, node: Node, order: npt.NDArray[np.int64] | None = None
    ) -> tuple[Step, View]:
        """A STORE step into a new float value that stands for the node's first output, and the view of it."""
        value = Value(DType.F32, dims)
        view = View(value, axes, order)
        if order is None:
            value.meaning = view.meaning(node.outputs[0])
        return Step(StepKind.STORE, value), view

    def map(self, view: View, steps: list[Step], node: Node) -> View:
        """Emits `steps` on a view; the result has the same layout and is the node's output."""
        store, out = self.store(view.value.dims, view.axes, node, view.order)
        if view.order is not None and view.value.meaning is not None:
            out.value.meaning = replace(view.value.meaning, tensor=node.outputs[0])
        self.emit(Map(node.name, view.value, [*steps, store]), node)
        return out

    def result(self, node: Node, view: Item, i: int = 0) -> None:
        self.env[node.outputs[i]] = view

    def channel_const(self, view: View, data: npt.NDArray[np.float32], what: str) -> tuple[View, Const | None, float]:
        """A broadcast constant for a step on the view: (view, per-channel constant or None, scalar).

        A constant that differs between the pixels of one channel is possible only for a flattened map, which is then
        laid out anew.
        """
        flat = per_channel(view, data)
        if flat is None:
            flattened = len([a for a in view.effective() if a]) == 1
            if not flattened:
                raise Unsupported(
                    f"its {what} of shape {list(data.shape)} differs between the pixels of a channel.",
                    "The engine's elementwise steps have one constant per channel.",
                )
            view = self.reordered(view)
            flat = per_channel(view, data)
            assert flat is not None
        if flat.size == 1:
            return view, None, float(flat[0])
        return view, Const(flat), 0.0

    def reordered(self, view: View) -> View:
        """A flattened map as a real vector: its pixels' channels one after the other, each copied by one COPY."""
        key = (id(view.value), view.axes)
        if key in self._reordered:
            return self._reordered[key]
        value = view.value
        if value.pixels > _REORDER_LIMIT:
            raise Unsupported(
                f"it needs a flattened map of {value.pixels} pixels as a vector; the limit is {_REORDER_LIMIT}.",
                "Pool before flattening, or use one constant per channel.",
            )
        d, h, w, c = value.dims
        dims = [x for axis in view.axes for x in axis]
        dims += [x for x in (1, 2, 3, 4) if x not in dims]
        index = np.arange(value.pixels * c).reshape(value.dims).transpose([x - 1 for x in dims]).reshape(-1)
        vector = Value(DType.F32, (1, 1, 1, value.pixels * c))
        if value.meaning is not None:
            vector.meaning = replace(value.meaning)
        pixel = 0
        for z in range(d):
            for y in range(h):
                for x in range(w):
                    op = Copy(
                        "flatten", value, dst=vector, start=(z, y, x, 0), count=(1, 1, 1, c), dst_channel=pixel * c
                    )
                    self.program.ops.append(op)
                    pixel += 1
        axes: Axes = tuple((C,) if axis else () for axis in view.effective())
        result = View(vector, axes, None if np.array_equal(index, np.arange(index.size)) else index.astype(np.int64))
        self._reordered[key] = result
        return result

    def unpadded(self, view: View) -> View:
        """Runs a pending Pad: a depthwise convolution with kernel 1 and weight 1, whose padding it is."""
        pad = view.pad
        if pad is None:
            return view
        if not pad.edge and pad.value != 0:
            raise Unsupported(
                f"it follows a Pad with the value {pad.value:g}, which only a convolution or pooling can take over.",
                "Pad with zeros or by replicating the edge.",
            )
        key = (id(view.value), (pad, view.axes))
        if key in self._padded:
            return self._padded[key]
        c = view.value.channels
        out: Dims3 = (view.size(1), view.size(2), view.size(3))
        value = Value(DType.F32, (*out, c))
        geometry = Geometry(pad_begin=pad.begin, pad_end=pad.end, groups=c, pad_mode=pad.mode())
        weight = Const(np.ones(c, dtype=np.float32))
        step = Step(StepKind.STORE, value)
        self.program.ops.append(FConv("pad", view.value, [step], [], "", weight, c, out, geometry))
        result = View(value, view.axes, view.order)
        value.meaning = result.meaning(pad.tensor)
        self._padded[key] = result
        return result


def scalar_or_const(data: npt.NDArray[np.float32]) -> tuple[Const | None, float]:
    """A per-channel array as a constant, or as a scalar when all its elements are the same float."""
    flat = np.ascontiguousarray(data, dtype=np.float32).reshape(-1)
    if np.all(flat.view(np.uint32) == flat.view(np.uint32)[0]):
        return None, float(flat[0])
    return Const(flat), 0.0


def affine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> list[Step]:
    """x*a + b as steps: none when a is 1 and b is 0 everywhere."""
    if np.all(a == 1) and np.all(b == 0):
        return []
    ca, p0 = scalar_or_const(a)
    cb, p1 = scalar_or_const(b)
    return [Step(StepKind.AFFINE, None, ca, cb, p0, p1)]
