"""Channels-last operators, wrapped in transposes (which the compiler's views make free), and small helpers of FINN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from ..patterns.recognise import Walk
from .reading import Reading

Lowering = Callable[[Walk, onnx.NodeProto], None]


def _channels_last(op: str, inputs: tuple[int, ...]) -> Lowering:
    """A standard operator on [N, spatial..., C]."""

    def lowering(walk: Walk, node: onnx.NodeProto) -> None:
        graph = walk.graph
        reading = Reading(graph, node, inputs)
        shape = graph.shape(node.input[0])
        if shape is None or len(shape) not in (3, 4, 5):
            raise reading.error(f"has an input {list(shape) if shape else 'of unknown shape'}, not [N, spatial..., C]")
        rank = len(shape)
        first = [0, rank - 1, *range(1, rank - 1)]
        last = [0, *range(2, rank), 1]
        given = list(node.input)
        given[0] = graph.add("Transpose", [given[0]], hint=f"{reading.output}.first", perm=first)
        if op == "Conv":
            given[1] = graph.constant(reading.constant(1, "weight").transpose(first), f"{reading.output}.weight")
        inner = onnx.NodeProto()
        inner.CopyFrom(node)
        inner.domain, inner.op_type = "", op
        del inner.input[:], inner.output[:]
        inner.input.extend(given)
        inner.output.append(graph.fresh(f"{reading.output}.result"))
        kept = [a for a in inner.attribute if a.name != "data_layout"]
        del inner.attribute[:]
        inner.attribute.extend(kept)
        walk.emit(inner)
        graph.add("Transpose", [inner.output[0]], output=reading.output, perm=last)

    return lowering


def debug_marker(walk: Walk, node: onnx.NodeProto) -> None:
    """Passes its input on."""
    reading = Reading(walk.graph, node, (1,))
    walk.graph.add("Identity", [node.input[0]], output=reading.output)


def quant_avg_pool(walk: Walk, node: onnx.NodeProto) -> None:
    """The sum over a window of integers, shifted right so that `obits` remain."""
    graph = walk.graph
    reading = Reading(graph, node, (1,))
    sizes = [reading.attributes.get(name) for name in ("kernel", "stride", "ibits", "obits")]
    if not all(isinstance(n, int) and 1 <= n <= 1 << 10 for n in sizes):
        raise reading.error(f"has kernel, stride, ibits, obits = {sizes}; all must be positive")
    kernel, stride, ibits, obits = (int(n) for n in sizes if n is not None)
    layout = reading.text("data_layout", "NCHW")
    if layout not in ("NCHW", "NHWC"):
        raise reading.error(f"has data_layout {layout!r}, not NCHW or NHWC")
    if ibits > 24 or (((1 << ibits) - 1) * kernel * kernel).bit_length() > 24:
        raise reading.error(f"sums {kernel}x{kernel} values of {ibits} bits, more than float32 holds exactly")
    shift = max((((1 << ibits) - 1) * kernel * kernel).bit_length() - obits, 0)
    x = node.input[0]
    if layout == "NHWC":
        x = graph.add("Transpose", [x], hint=f"{reading.output}.first", perm=[0, 3, 1, 2])
    x = graph.add("AveragePool", [x], hint=f"{reading.output}.mean", kernel_shape=[kernel] * 2, strides=[stride] * 2)
    x = graph.add("Mul", [x, graph.constant(np.float32(kernel * kernel), f"{reading.output}.area")])
    x = graph.add("Round", [x], hint=f"{reading.output}.sum")
    x = graph.add("Mul", [x, graph.constant(np.float32(2.0**-shift), f"{reading.output}.shift")])
    x = graph.add("Floor", [x], hint=f"{reading.output}.shifted")
    if layout == "NHWC":
        graph.add("Transpose", [x], output=reading.output, perm=[0, 2, 3, 1])
    else:
        graph.add("Identity", [x], output=reading.output)


LAYOUTS: dict[str, dict[str, Lowering]] = {
    "general": {
        "MaxPoolNHWC": _channels_last("MaxPool", (1,)),
        "QuantAvgPool2d": quant_avg_pool,
        "DebugMarker": debug_marker,
    },
    "channels_last": {
        "Conv": _channels_last("Conv", (2, 3)),
        "MaxPool": _channels_last("MaxPool", (1,)),
        "BatchNormalization": _channels_last("BatchNormalization", (5,)),
    },
}
