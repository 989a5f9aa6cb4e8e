"""MultiThreshold: how many thresholds x reaches; and XnorPopcountMatMul, which counts equal bits."""

from __future__ import annotations

import numpy as np
import onnx

from bitwright.compiler.dialect import BinarizeAttrs

from ..imported import Finding
from ..patterns.recognise import Walk
from ..patterns.signals import MAX_BITS, Levels
from .reading import F32, Reading

_BY_RANK = {2: "NC", 3: "NWC", 4: "NCHW"}
_SUM_OF_BITS = 16
"""Up to so many thresholds the count is a sum of Binarize nodes, which the engine runs; more are one comparison with a
further axis."""


def multi_threshold(walk: Walk, node: onnx.NodeProto) -> None:
    """out_scale * count(x >= thresholds) + out_bias; thresholds [C, T] or [1, T]."""
    graph = walk.graph
    reading = Reading(graph, node, (2,))
    x = node.input[0]
    if graph.is_constant(x):
        raise reading.error("has a constant input")
    thresholds = _thresholds(reading)
    axis, shape = _channel_axis(reading, x, len(thresholds))
    scale, bias = reading.number("out_scale", 1.0), reading.number("out_bias", 0.0)
    count = thresholds.shape[1]
    hint = reading.output
    if (count, scale, bias) == (1, 2, -1):
        _bit(walk, x, thresholds[:, 0], axis, -1.0, reading.output, reading.output)
    else:
        y = (
            _sum_of_bits(walk, x, thresholds, axis, hint)
            if count <= _SUM_OF_BITS
            else _comparison(walk, x, thresholds, axis, len(shape), hint)
        )
        if scale != 1:
            y = graph.add("Mul", [y, graph.constant(scale, f"{hint}.scale")], hint=f"{hint}.scaled")
        if bias != 0:
            y = graph.add("Add", [y, graph.constant(bias, f"{hint}.bias")], hint=f"{hint}.shifted")
        graph.add("Identity", [y], output=reading.output)
        shift = float(bias) / float(scale) if scale > 0 else 0.5
        if count > 1 and shift.is_integer() and count < 1 << MAX_BITS and abs(shift) < 1 << 16:
            low = int(shift)
            walk.signals.declare(Levels(reading.output, float(scale), low, low + count))
    walk.layers.told.add(reading.output)
    what = f"MultiThreshold, {count} threshold{'s' if count > 1 else ''}"
    levels = f"{bias:g}..{scale * count + bias:g}" if count > 1 else f"{scale + bias:g} or {bias:g}"
    walk.findings.append(Finding(reading.name, what, f"levels {levels}"))


def _thresholds(reading: Reading) -> F32:
    name = reading.node.input[1]
    value = reading.graph.value(name) if reading.graph.is_constant(name) else None
    if value is None or value.dtype.kind not in "fiu" or value.ndim != 2 or value.size == 0:
        raise reading.error(f"has thresholds {name!r} that are no constant matrix [channels, steps]")
    array = np.asarray(value, dtype=np.float32)
    if np.isnan(array).any():
        raise reading.error(f"has NaN among its thresholds {name!r}")
    if value.dtype.kind in "iu" and not np.array_equal(array.astype(np.float64), value.astype(np.float64)):
        raise reading.error(f"has integer thresholds {name!r} that float32 does not hold exactly")
    return array


def _channel_axis(reading: Reading, x: str, channels: int) -> tuple[int, tuple[int | str | None, ...]]:
    """The axis of x along which the thresholds run, counted from the end, and the shape of x."""
    shape = reading.graph.shape(x)
    if shape is None or len(shape) < 2:
        raise reading.error(
            f"has an input {list(shape) if shape is not None else 'of unknown shape'}; it must be [N, ...]"
        )
    rank = len(shape)
    layout = reading.text("data_layout", "") or _BY_RANK.get(rank, "")
    if layout and (len(layout) != rank or layout.count("C") != 1 or layout.index("C") == 0):
        raise reading.error(f"has data_layout {layout!r} for an input of rank {rank}")
    axis = layout.index("C") if layout else 1
    fits = [i for i in (axis, 1) if channels == 1 or shape[i] == channels]
    if channels > 1 and "data_layout" not in reading.attributes and not fits:
        fits = [i for i in range(1, rank) if shape[i] == channels]
        fits = fits if len(fits) == 1 else []
    if not fits or ("data_layout" in reading.attributes and reading.attributes["data_layout"] and fits[0] != axis):
        raise reading.error(
            f"has thresholds for {channels} channels, its input is {list(shape)} in layout {layout or 'NC...'}"
        )
    return fits[0] - rank, shape


def _bit(walk: Walk, x: str, threshold: F32, axis: int, low: float, hint: str, output: str = "") -> str:
    name = walk.graph.constant(np.ascontiguousarray(threshold), f"{hint}.threshold")
    return walk.graph.add_dialect(BinarizeAttrs(low=low, axis=axis), [x, name], output=output, hint=f"{hint}.bits")


def _sum_of_bits(walk: Walk, x: str, thresholds: F32, axis: int, hint: str) -> str:
    total = _bit(walk, x, thresholds[:, 0], axis, 0.0, hint)
    for t in range(1, thresholds.shape[1]):
        bit = _bit(walk, x, thresholds[:, t], axis, 0.0, hint)
        total = walk.graph.add("Add", [total, bit], hint=f"{hint}.count")
    return total


def _comparison(walk: Walk, x: str, thresholds: F32, axis: int, rank: int, hint: str) -> str:
    graph = walk.graph
    steps = thresholds.shape[1]
    table = thresholds.reshape(len(thresholds), *[1] * (-axis - 1), steps)
    last = graph.constant(np.array([-1], np.int64), f"{hint}.axis")
    column = graph.add("Unsqueeze", [x, last], hint=f"{hint}.column")
    reached = graph.add("GreaterOrEqual", [column, graph.constant(table, f"{hint}.thresholds")], hint=f"{hint}.reached")
    ones = graph.add("Cast", [reached], hint=f"{hint}.ones", to=onnx.TensorProto.FLOAT)
    return graph.add("ReduceSum", [ones, last], hint=f"{hint}.count", keepdims=0)


def xnor_popcount(walk: Walk, node: onnx.NodeProto) -> None:
    """How many bits of a row and a column are equal: (K + the ±1 product) / 2, of inputs of {0, 1}."""
    graph = walk.graph
    reading = Reading(graph, node, (2,))
    weight = reading.constant(1, "weight")
    if weight.ndim != 2 or not np.isin(weight, (0, 1)).all():
        raise reading.error(f"has a weight {list(weight.shape)} that is no matrix of 0 and 1")
    two = graph.constant(np.float32(2), f"{reading.output}.two")
    one = graph.constant(np.float32(1), f"{reading.output}.one")
    doubled = graph.add("Mul", [node.input[0], two], hint=f"{reading.output}.doubled")
    signs = graph.add("Sub", [doubled, one], hint=f"{reading.output}.signs")
    matrix = graph.constant(2 * weight - 1, f"{reading.output}.weight")
    product = graph.fresh(f"{reading.output}.product")
    walk.emit(onnx.helper.make_node("MatMul", [signs, matrix], [product], name=reading.name))
    size = graph.constant(np.float32(len(weight)), f"{reading.output}.size")
    total = graph.add("Add", [product, size], hint=f"{reading.output}.total")
    graph.add("Mul", [total, graph.constant(np.float32(0.5), f"{reading.output}.half")], output=reading.output)
