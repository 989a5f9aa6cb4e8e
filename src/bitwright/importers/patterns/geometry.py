"""Window attributes of Conv and ConvTranspose, and the Pad node in front of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from .constants import node_attributes
from .graph import ModelGraph


@dataclass(frozen=True)
class Window:
    """Spatial attributes, all explicit; `pads` has the begins, then the ends."""

    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    group: int

    @property
    def kernel(self) -> str:
        """For people: 3x3."""
        return "x".join(map(str, self.kernel_shape))


@dataclass(frozen=True)
class Padding:
    """A Pad of spatial axes only."""

    data: str
    pads: tuple[int, ...]
    value: float
    edge: bool


def window_of(graph: ModelGraph, node: onnx.NodeProto, kernel: tuple[int, ...]) -> Window | None:
    """The window of a Conv or ConvTranspose with a constant weight; None where it cannot be made explicit."""
    attributes = node_attributes(node)
    rank = len(kernel)
    if rank not in (1, 2, 3):
        return None
    strides = _ints(attributes, "strides", (1,) * rank)
    dilations = _ints(attributes, "dilations", (1,) * rank)
    pads = _ints(attributes, "pads", (0,) * 2 * rank)
    group = int(attributes.get("group", 1))
    if _ints(attributes, "kernel_shape", kernel) != kernel or min(*strides, *dilations, group) < 1:
        return None
    if len(strides) != rank or len(dilations) != rank or len(pads) != 2 * rank or min(pads) < 0:
        return None
    mode = str(attributes.get("auto_pad", "NOTSET"))
    if mode == "VALID":
        pads = (0,) * 2 * rank
    elif mode != "NOTSET":
        found = None if node.op_type != "Conv" else _same(graph, node, kernel, strides, dilations, mode)
        if found is None:
            return None
        pads = found
    return Window(kernel, strides, dilations, pads, group)


def _ints(attributes: dict[str, Any], name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(n) for n in attributes.get(name, default))


def _same(
    graph: ModelGraph,
    node: onnx.NodeProto,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    mode: str,
) -> tuple[int, ...] | None:
    shape = graph.shape(node.input[0])
    if mode not in ("SAME_UPPER", "SAME_LOWER") or shape is None or len(shape) != len(kernel) + 2:
        return None
    begins, ends = [], []
    for size, k, s, d in zip(shape[2:], kernel, strides, dilations, strict=True):
        if not isinstance(size, int):
            return None
        total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        less = total // 2
        begins.append(less if mode == "SAME_UPPER" else total - less)
        ends.append(total - begins[-1])
    return (*begins, *ends)


def padding_of(graph: ModelGraph, name: str) -> Padding | None:
    """The Pad node that makes a tensor, when it pads spatial axes with a constant or the edge."""
    node = graph.producer.get(name)
    if node is None or node.domain or node.op_type != "Pad" or not graph.is_float(name):
        return None
    mode = str(node_attributes(node).get("mode", "constant"))
    shape = graph.shape(node.input[0])
    widths = graph.value(node.input[1]) if len(node.input) > 1 else None
    if mode not in ("constant", "edge") or shape is None or widths is None or len(shape) < 3:
        return None
    value = 0.0
    if len(node.input) > 2 and node.input[2]:
        given = graph.value(node.input[2])
        if given is None or given.size != 1:
            return None
        value = float(given.reshape(()))
    rank = len(shape)
    axes = list(range(rank))
    if len(node.input) > 3 and node.input[3]:
        found = graph.value(node.input[3])
        if found is None or widths.size != 2 * found.size:
            return None
        axes = [int(a) % rank for a in found.reshape(-1)]
    elif widths.size != 2 * rank:
        return None
    half = len(axes)
    begin, end = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        begin[axis], end[axis] = int(widths.reshape(-1)[i]), int(widths.reshape(-1)[half + i])
    if any(begin[:2]) or any(end[:2]) or min(*begin, *end) < 0:
        return None
    return Padding(node.input[0], (*begin[2:], *end[2:]), value, mode == "edge")
