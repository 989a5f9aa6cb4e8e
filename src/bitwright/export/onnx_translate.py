"""The packed torch operators as ONNX nodes: the table that torch's exporter asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bitwright.compiler import dialect
from bitwright.compiler.dialect import NodeAttrs


def _recorder(attrs_class: type[NodeAttrs]) -> Callable[..., Any]:
    """A function that records one node: tensors first, then the fields of the attribute class in their order."""
    from onnxscript import values

    op = values.Op(
        values.Opset(dialect.DOMAIN, dialect.VERSION), attrs_class.op, op_schema=dialect.schema(attrs_class.op)
    )
    tensors = len(attrs_class.inputs)

    def record(*args: Any) -> Any:
        attrs = attrs_class(*args[tensors:])
        named = {k: list(v) if isinstance(v, tuple) else v for k, v in attrs.to_dict().items()}
        return op(*args[:tensors], **named)

    return record


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """For `torch.onnx.export(custom_translation_table=...)`."""
    ops = torch.ops.bitwright
    return {
        ops.binary_conv.default: _recorder(dialect.BinaryConvAttrs),
        ops.binary_conv_transpose.default: _recorder(dialect.BinaryConvTransposeAttrs),
        ops.binary_linear.default: _recorder(dialect.BinaryLinearAttrs),
        ops.level_conv.default: _recorder(dialect.LevelConvAttrs),
        ops.level_linear.default: _recorder(dialect.LevelLinearAttrs),
        ops.binary_embedding.default: _recorder(dialect.BinaryEmbeddingAttrs),
        ops.binarize.default: _recorder(dialect.BinarizeAttrs),
        ops.unpack_weight.default: _recorder(dialect.UnpackWeightAttrs),
    }
