"""ONNX operator schemas of the dialect, for tools that check or record nodes. Nothing is registered globally."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING

from bitwright.compiler.dialect.attributes import DOMAIN, OPS, VERSION, DialectError

if TYPE_CHECKING:
    import onnx

_INPUT_TYPES = {"W": "tensor(uint8)", "ids": "tensor(int64)"}


@cache
def schema(op: str) -> onnx.defs.OpSchema:
    """The schema of one operator.

    Raises:
        DialectError: the dialect has no such operator.
    """
    import onnx

    if op not in OPS:
        raise DialectError(f"the dialect has no operator {op!r}; it has {sorted(OPS)}")
    attrs = OPS[op]
    types = onnx.defs.OpSchema.AttrType
    kinds = {"int": types.INT, "float": types.FLOAT, "str": types.STRING, "tuple[int, ...]": types.INTS}
    parameter = onnx.defs.OpSchema.FormalParameter
    return onnx.defs.OpSchema(
        op,
        DOMAIN,
        VERSION,
        doc=(attrs.__doc__ or "").strip(),
        inputs=[parameter(name, _INPUT_TYPES.get(name, "tensor(float)")) for name in attrs.inputs],
        outputs=[parameter("Y", "tensor(float)")],
        attributes=[
            onnx.defs.OpSchema.Attribute(field.name, kinds[str(field.type)], required=True)
            for field in dataclasses.fields(attrs)
        ],
    )
