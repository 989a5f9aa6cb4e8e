"""Every value that a tensor behind a binary layer can take: the proof that a three-valued sign never sees a zero.

A binary layer's accumulator is an integer from a small set. The elementwise operators and the batch norm behind it are
evaluated on all of them, in float32 and in their order.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bitwright.compiler.dialect import (
    DOMAIN,
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
    read_node,
)

from .constants import node_attributes
from .operators import numpy_function

if TYPE_CHECKING:
    from .graph import ModelGraph

F32 = NDArray[np.float32]
LIMIT = 1 << 25
"""Values in the largest table."""
_MAX_DEPTH = 64
_KEEPS = {"MaxPool", "GlobalMaxPool", "Identity"}


def reachable(graph: ModelGraph, name: str) -> F32 | None:
    """All values of a tensor `[N, ...]`, as `[P, ...]` with one entry along every axis but the channels'.

    None when the tensor is not a function of one binary layer's accumulator, channel by channel, or is too large a set.
    """
    way: list[onnx.NodeProto] = []
    while len(way) <= _MAX_DEPTH:
        node = graph.producer.get(name)
        if node is None:
            return None
        if node.domain == DOMAIN:
            values = _accumulators(graph, node)
            break
        way.append(node)
        data = [i for i in node.input if i and not graph.is_constant(i)]
        if len(data) != 1 or not graph.is_float(data[0]):
            return None
        name = data[0]
    else:
        return None
    for node in reversed(way):
        if values is None:
            return None
        values = _through(graph, node, values)
    return values


def _accumulators(graph: ModelGraph, node: onnx.NodeProto) -> F32 | None:
    """scale * acc + bias for every accumulator of a binary layer."""
    attrs = read_node(node)
    shape = graph.shape(node.output[0])
    if shape is None:
        return None
    if isinstance(attrs, BinaryLinearAttrs | LevelLinearAttrs):
        axis, products = len(shape) - 1, attrs.channels
    elif isinstance(attrs, BinaryConvAttrs | LevelConvAttrs | BinaryConvTransposeAttrs):
        axis, products = 1, attrs.channels * attrs.taps
    else:
        return None
    if isinstance(attrs, LevelConvAttrs | LevelLinearAttrs):
        top, stride = products * ((1 << attrs.bits) - 1), 1
    else:
        odd = attrs.low == -1 and _same_parity(graph, node, attrs)
        top, stride = products, 2 if odd else 1
    scale, bias = (graph.value(i) for i in node.input[-2:])
    if scale is None or bias is None or (2 * top // stride + 1) * max(scale.size, bias.size) > LIMIT:
        return None
    acc = np.arange(-top, top + 1, stride).astype(np.float32)
    table = acc[:, None] * scale.reshape(1, -1) + bias.reshape(1, -1)
    return np.asarray(table.reshape(len(acc), *(-1 if i == axis else 1 for i in range(1, len(shape)))))


def _same_parity(graph: ModelGraph, node: onnx.NodeProto, attrs: Any) -> bool:
    """Whether every accumulator has the parity of all products: no padding that counts as 0 makes other sums."""
    if isinstance(attrs, BinaryLinearAttrs):
        return True
    if attrs.channels % 2 == 0:
        return True
    if isinstance(attrs, BinaryConvTransposeAttrs):
        return False
    if not any(attrs.pads) or attrs.pad_mode == "edge" or attrs.pad_value != 0:
        return True
    shape = graph.shape(node.input[0])
    if shape is None or any(not isinstance(n, int) for n in shape[2:]):
        return False
    counts = []
    sizes = [int(n) for n in shape[2:] if isinstance(n, int)]
    for size, k, s, d, begin, out in zip(
        sizes,
        attrs.kernel_shape,
        attrs.strides,
        attrs.dilations,
        attrs.pad_begin,
        attrs.output_size(sizes),
        strict=True,
    ):
        starts = np.arange(out)[:, None] * s - begin + np.arange(k)[None] * d
        counts.append(set(((starts >= 0) & (starts < size)).sum(axis=1).tolist()))
    return len({math.prod(c) % 2 for c in itertools.product(*counts)}) == 1


def _through(graph: ModelGraph, node: onnx.NodeProto, values: F32) -> F32 | None:
    """The values behind one node."""
    attributes = node_attributes(node)
    if node.domain:
        return None
    if node.op_type in _KEEPS:
        return values
    if node.op_type == "BatchNormalization":
        return _batch_norm(graph, node, attributes, values)
    if node.op_type in ("Unsqueeze", "Squeeze"):
        axes = graph.value(node.input[1]) if len(node.input) > 1 else None
        if axes is None or axes.size != 1 or int(axes.reshape(())) < 1:
            return None
        axis = int(axes.reshape(()))
        if node.op_type == "Unsqueeze":
            return np.expand_dims(values, axis) if axis <= values.ndim else None
        return np.squeeze(values, axis) if axis < values.ndim and values.shape[axis] == 1 else None
    function = numpy_function(node, attributes)
    if function is None:
        return None
    given = []
    for name in node.input:
        constant = graph.value(name) if name and graph.is_constant(name) else None
        if name and graph.is_constant(name) and (constant is None or constant.size * len(values) > LIMIT):
            return None
        given.append(constant if constant is not None else values if name else None)
    with np.errstate(all="ignore"):
        result = np.asarray(function(given))
    return result if result.dtype == np.float32 and result.ndim == values.ndim else None


def _batch_norm(graph: ModelGraph, node: onnx.NodeProto, attributes: dict[str, Any], values: F32) -> F32 | None:
    """`x*a + b` with a = gamma / sqrt(var + eps), in the order of onnxruntime and of PyTorch's CPU kernel."""
    constants = [graph.value(i) for i in node.input[1:5]]
    if values.ndim < 2 or attributes.get("training_mode", 0) or len(constants) != 4:
        return None
    if any(c is None or c.dtype != np.float32 or c.ndim != 1 for c in constants):
        return None
    gamma, beta, mean, var = (c for c in constants if c is not None)
    if any(c.size != gamma.size for c in (beta, mean, var)) or values.shape[1] not in (1, gamma.size):
        return None
    if gamma.size * len(values) > LIMIT:
        return None
    with np.errstate(all="ignore"):
        a = gamma * (np.float32(1) / np.sqrt(var + np.float32(attributes.get("epsilon", 1e-5))))
        b = beta - mean * a
    column = (1, -1, *[1] * (values.ndim - 2))
    return np.asarray(values * a.reshape(column) + b.reshape(column))
