"""The `ai.bitwright` ONNX dialect: 1-bit layers as ONNX nodes (docs/dialect.md).

Needs numpy, and onnx to read or make nodes; never torch.

`attributes` reads and makes nodes, `functions` holds each node's meaning in standard operators, `bits` packs weights.
"""

from __future__ import annotations

from bitwright.compiler.dialect.attributes import (
    CALL_KEY,
    DOMAIN,
    MODULE_KEY,
    OPS,
    VERSION,
    BinarizeAttrs,
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryEmbeddingAttrs,
    BinaryLinearAttrs,
    DialectError,
    LevelConvAttrs,
    LevelLinearAttrs,
    NodeAttrs,
    UnpackWeightAttrs,
    read_node,
)
from bitwright.compiler.dialect.bits import pack_bits, packed_bytes, unpack_bits
from bitwright.compiler.dialect.functions import MAX_OPSET, MIN_OPSET, add_functions, function, functions
from bitwright.compiler.dialect.schemas import schema
from bitwright.compiler.dialect.shapes import TensorTypes, infer_shapes, output_shape

__all__ = [
    "CALL_KEY",
    "DOMAIN",
    "MAX_OPSET",
    "MIN_OPSET",
    "MODULE_KEY",
    "OPS",
    "VERSION",
    "BinarizeAttrs",
    "BinaryConvAttrs",
    "BinaryConvTransposeAttrs",
    "BinaryEmbeddingAttrs",
    "BinaryLinearAttrs",
    "DialectError",
    "LevelConvAttrs",
    "LevelLinearAttrs",
    "NodeAttrs",
    "TensorTypes",
    "UnpackWeightAttrs",
    "add_functions",
    "function",
    "functions",
    "infer_shapes",
    "output_shape",
    "pack_bits",
    "packed_bytes",
    "read_node",
    "schema",
    "unpack_bits",
]
