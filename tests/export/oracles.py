"""Independent meanings of the operators: loops over integers in numpy, and onnxruntime on a file of one node."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from bitwright.compiler import dialect
from bitwright.compiler.dialect import BinaryConvAttrs, BinaryConvTransposeAttrs, NodeAttrs
from bitwright.export import PackedConv, PackedConvTranspose, PackedEmbedding, PackedLayer


def activation_bits(x: np.ndarray, threshold: np.ndarray, low: float) -> np.ndarray:
    """x `[N, C, *S]`; integers."""
    level = np.broadcast_to(threshold, (x.shape[1],)).reshape(-1, *[1] * (x.ndim - 2))
    return np.where(x >= level, 1, int(low)).astype(np.int64)


def conv_loops(x: np.ndarray, weight: np.ndarray, threshold: np.ndarray, a: BinaryConvAttrs) -> np.ndarray:
    """Accumulators by the definition: every tap that lies in the map, or in the padding by its rule.

    Args:
        weight: ±1 integers `[O, C/group, *kernel]`.
    """
    bits = activation_bits(x, threshold, a.low)
    size = a.output_size(x.shape[2:])
    out = np.zeros((x.shape[0], weight.shape[0], *size), dtype=np.int64)
    per_group = weight.shape[0] // a.group
    for position in itertools.product(*map(range, size)):
        for tap in itertools.product(*map(range, a.kernel_shape)):
            at = [p * s + t * d - b for p, s, t, d, b in zip(position, a.strides, tap, a.dilations, a.pad_begin)]  # noqa: B905
            inside = all(0 <= i < n for i, n in zip(at, x.shape[2:], strict=True))
            if a.pad_mode == "edge":
                at = [min(max(i, 0), n - 1) for i, n in zip(at, x.shape[2:], strict=True)]
                inside = True
            pixel = bits[(slice(None), slice(None), *at)] if inside else np.full(x.shape[:2], int(a.pad_value))
            for o in range(weight.shape[0]):
                first = o // per_group * a.channels
                row = weight[(o, slice(None), *tap)]
                out[(slice(None), o, *position)] += pixel[:, first : first + a.channels] @ row
    return out


def conv_transpose_loops(
    x: np.ndarray, weight: np.ndarray, threshold: np.ndarray, a: BinaryConvTransposeAttrs
) -> np.ndarray:
    """Accumulators by the definition: every input pixel adds its kernel to the output, cropped.

    Args:
        weight: ±1 integers `[O, C/group, *kernel]` (gather form).
    """
    bits = activation_bits(x, threshold, a.low)
    size = a.output_size(x.shape[2:])
    out = np.zeros((x.shape[0], weight.shape[0], *size), dtype=np.int64)
    per_group = weight.shape[0] // a.group
    for position in itertools.product(*map(range, x.shape[2:])):
        for tap in itertools.product(*map(range, a.kernel_shape)):
            at = [p * s + t * d - b for p, s, t, d, b in zip(position, a.strides, tap, a.dilations, a.pad_begin)]  # noqa: B905
            if not all(0 <= i < n for i, n in zip(at, size, strict=True)):
                continue
            for o in range(weight.shape[0]):
                first = o // per_group * a.channels
                pixel = bits[(slice(None), slice(first, first + a.channels), *position)]
                out[(slice(None), o, *at)] += pixel @ weight[(o, slice(None), *tap)]
    return out


def node_model(attrs: NodeAttrs, inputs: dict[str, np.ndarray], opset: int = 18) -> onnx.ModelProto:
    """One node of the dialect; the first input of a layer is the graph's, the others are initializers."""
    variable = "" if attrs.op == "UnpackWeight" else attrs.inputs[0]
    node = attrs.make_node(attrs.inputs, ["Y"], name="node", module="layer")
    kinds = onnx.helper.np_dtype_to_tensor_dtype
    graph_inputs = [
        onnx.helper.make_tensor_value_info(name, kinds(value.dtype), value.shape)
        for name, value in inputs.items()
        if name == variable
    ]
    constants = [onnx.numpy_helper.from_array(v, name) for name, v in inputs.items() if name != variable]
    output = onnx.helper.make_value_info("Y", onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
    graph = onnx.helper.make_graph([node], "one", graph_inputs, [output], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)
    dialect.add_functions(model)
    return model


def run_node(attrs: NodeAttrs, inputs: dict[str, np.ndarray], opset: int = 18) -> np.ndarray:
    """onnxruntime's output of one node."""
    session = onnxruntime.InferenceSession(node_model(attrs, inputs, opset).SerializeToString())
    feeds = {i.name: inputs[i.name] for i in session.get_inputs()}
    return session.run(None, feeds)[0]


def run_packed(layer: PackedLayer, x: np.ndarray, opset: int = 18) -> np.ndarray:
    """onnxruntime's output of the node that a packed layer exports to."""
    buffers = {name: value.numpy() for name, value in layer.named_buffers()}
    inputs: dict[str, Any] = {"X": x, "W": buffers["weight"]}
    if isinstance(layer, PackedEmbedding):
        inputs = {"ids": x, "W": buffers["weight"], "scale": buffers["scale"]}
    else:
        inputs |= {name: buffers[name] for name in ("threshold", "scale", "bias")}
    attrs = layer.attrs
    assert isinstance(attrs, NodeAttrs)
    return run_node(attrs, inputs, opset)


def loops(layer: PackedConv | PackedConvTranspose, x: np.ndarray) -> np.ndarray:
    """scale * accumulator + bias of a packed convolution by the loops above, in float32."""
    a = layer.attrs
    rows = dialect.unpack_bits(layer.weight.numpy(), a.channels)
    weight = np.where(np.moveaxis(rows, 1, 2), 1, -1).reshape(-1, a.channels, *a.kernel_shape)
    compute = conv_loops if isinstance(a, BinaryConvAttrs) else conv_transpose_loops
    sums = compute(x, weight, layer.threshold.numpy(), a)
    column = (-1, *[1] * a.rank)
    return sums.astype(np.float32) * layer.scale.numpy().reshape(column) + layer.bias.numpy().reshape(column)


def scramble(module: nn.Module, seed: int = 0) -> None:
    """Gives every parameter and statistic a random value, so that no test passes because something is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator)
                value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else noise * 0.5)


def tricky(shape: tuple[int, ...], thresholds: np.ndarray, seed: int = 0) -> np.ndarray:
    """float32 inputs with NaN, ±0, ±inf, subnormals, and values on and just beside the thresholds (channel axis 1)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    level = np.broadcast_to(thresholds, (shape[1],)).reshape(-1, *[1] * (len(shape) - 2))
    level = np.broadcast_to(level, shape)
    special = [np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-42, -1e-42]
    choice = rng.integers(0, 20, shape)
    for k, value in enumerate(special):
        x[choice == k] = value
    x[choice == 7] = level[choice == 7]
    x[choice == 8] = np.nextafter(level, np.float32(-np.inf))[choice == 8]
    x[choice == 9] = np.nextafter(level, np.float32(np.inf))[choice == 9]
    return x
