"""A whole network: its operators checked, converted in order, and the result compared with the declared shapes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx

from ..build import GraphBuilder
from ..errors import ImportModelError
from ..imported import Imported
from ..source import Source
from . import binary, elementwise, layers  # noqa: F401 - they register their converters
from . import shapes as _shapes  # noqa: F401
from .reader import DAMAGE, Network, Operator, read
from .registry import CONVERTERS, Context
from .tensors import FixedBatch, Tensors, dequantize, quantize

FORMAT = "larq"

# int8 operators whose results were compared with the interpreter's (release 0.16), or that only move levels
_LEVELS = {
    *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN"),
    *("LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU", "SOFTMAX", "RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE"),
    *(
        "DEQUANTIZE",
        "LceQuantize",
        "LceDequantize",
        "LceBconv2d",
        "CONCATENATION",
        "PAD",
        "PADV2",
        "RESHAPE",
        "SQUEEZE",
    ),
    *("EXPAND_DIMS", "TRANSPOSE", "SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE", "REDUCE_MAX", "REDUCE_MIN"),
    *("MIRROR_PAD", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "RESIZE_NEAREST_NEIGHBOR"),
}


def load(source: Source) -> Imported:
    """Reads and converts a .tflite file.

    Raises:
        ImportModelError: a damaged file, operators without a counterpart (all are listed), or a node that is not
            understood.
    """
    network = read(source.data, str(source.path))
    _check_operators(network, str(source.path))
    warnings = []
    try:
        ctx, model = _convert(network, source, fixed_batch=_batch_sizes(network) != {1})
    except FixedBatch as mixer:
        ctx, model = _convert(network, source, fixed_batch=True)
        warnings.append(f"the batch size is fixed as in the file: {mixer} moves data between samples")
    inexact = sorted({op.op for op in network.operators if op.op not in _LEVELS and _is_quantized(network, op)})
    if inexact:
        warnings.append(f"int8 results of {', '.join(inexact)} may differ from TensorFlow Lite's by one level")
    hybrid = sum(_is_hybrid(network, op) for op in network.operators)
    if hybrid:
        warnings.append(
            f"{hybrid} layers have int8 weights and float inputs: TensorFlow Lite rounds those inputs to int8, "
            "here they stay float"
        )
    return Imported(model, FORMAT, str(source.path), ctx.findings, warnings)


def _is_quantized(network: Network, op: Operator) -> bool:
    return network.tensors[op.outputs[0]].quantization is not None


def _is_hybrid(network: Network, op: Operator) -> bool:
    if op.op not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or min(op.inputs[:2], default=-1) < 0:
        return False
    weight = network.tensors[op.inputs[1]] if len(op.inputs) > 1 else None
    return weight is not None and weight.quantization is not None and not _is_quantized(network, op)


def _batch_sizes(network: Network) -> set[int]:
    shapes = [network.tensors[i].shape for i in (*network.inputs, *network.outputs)]
    return {shape[0] if shape else 0 for shape in shapes}


def _check_operators(network: Network, file: str) -> None:
    unknown = Counter(op.op for op in network.operators if op.op not in CONVERTERS)
    if unknown:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
        raise ImportModelError(
            f"{file}: {sum(unknown.values())} of its {len(network.operators)} nodes have no counterpart: {listed}. "
            f"Supported are {', '.join(sorted(CONVERTERS))}"
        )


def _is_early(network: Network) -> bool:
    """Whether its binary convolutions take their input's sign themselves, as before LceQuantize existed."""
    convolutions = [op for op in network.operators if op.op == "LceBconv2d"]
    reads_reals = any(op.inputs and network.tensors[op.inputs[0]].dtype != np.int32 for op in convolutions)
    return reads_reals and not any(op.op == "LceQuantize" for op in network.operators)


def _convert(network: Network, source: Source, *, fixed_batch: bool) -> tuple[Context, onnx.ModelProto]:
    file = str(source.path)
    build = GraphBuilder(source.path.stem)
    tensors = Tensors(network, build, file, fixed_batch=fixed_batch)
    ctx = Context(network, build, tensors, early=_is_early(network))
    for index in network.inputs:
        tensor = tensors.tensor(index)
        if tensor.data is not None or not tensor.shape:
            raise ImportModelError(f"{file}: the model's input {tensor.name!r} is a constant or a scalar")
        shape = [tensor.shape[0] if fixed_batch else "N", *tensor.shape[1:]]
        name = build.input(tensor.name, shape, tensor.dtype)
        tensors.given(index, name if tensor.quantization is None else dequantize(build, name, tensor))
    for op in network.operators:
        try:
            CONVERTERS[op.op](ctx, op)
        except DAMAGE as error:
            raise tensors.fail(op, f"its options or constants are damaged: {error}") from error
    for index in network.outputs:
        tensor, name = tensors.result(index)
        if tensor.quantization is not None:
            name = quantize(build, name, tensor)
        build.output(name, tensor.name, tensor.dtype)
    metadata = source.metadata(FORMAT)
    metadata["import.description"] = network.description
    return ctx, build.finish(metadata)
