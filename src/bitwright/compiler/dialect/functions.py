"""What each operator of the dialect means, as ONNX functions of standard operators.

The bodies are rank generic. They round the accumulator although it is an integer already: nothing changes, but a
runtime cannot fold the scale into the weights across a Round (onnxruntime would), so `scale * accumulator + bias` keeps
its order and every bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitwright.compiler.dialect.attributes import DOMAIN, OPS, VERSION, DialectError

if TYPE_CHECKING:
    import onnx

MIN_OPSET = 18
"""The bodies need BitwiseAnd and the axes input of Pad."""
MAX_OPSET = 23
"""The newest default-domain operator set that the bodies were tested with."""

# [-1, 1, ..., 1]: a per-channel vector in this shape broadcasts over [N, C, *S].
_COLUMN = """
  kernel = Constant <value_ints: ints = @kernel_shape> ()
  rank = Shape (kernel)
  ones = ConstantOfShape <value = int64[1] {1}> (rank)
  rest = Constant <value = int64[1] {-1}> ()
  column = Concat <axis = 0> (rest, ones)
"""

_BINARIZE = """
  upper = Constant <value_float = 1.0> ()
  lower = Constant <value_float: float = @low> ()
  is_set = GreaterOrEqual (X, level)
  activation = Where (is_set, upper, lower)
"""

# X -> level 0 to 2^bits - 1, NaN: 0. `gain_level` and `offset_level` broadcast over X.
_LEVELS = """
  gained = Mul (X, gain_level)
  moved = Add (gained, offset_level)
  nearest = Round (moved)
  lowest_level = Constant <value_float = 0.0> ()
  is_positive = Greater (nearest, lowest_level)
  positive = Where (is_positive, nearest, lowest_level)
  base = Constant <value_float = 2.0> ()
  bit_count = Constant <value_int: int = @bits> ()
  exponent = Cast <to = 1> (bit_count)
  count = Pow (base, exponent)
  top = Sub (count, one)
  activation = Min (positive, top)
"""

# packed, uint8 [.., B] -> signs, float ±1 [.., channels].
_UNPACK = """
  byte = Unsqueeze (packed, rest)
  shifts = Constant <value = uint8[8] {0, 1, 2, 3, 4, 5, 6, 7}> ()
  shifted = BitShift <direction = "RIGHT"> (byte, shifts)
  lowest = Constant <value = uint8[1] {1}> ()
  bits = BitwiseAnd (shifted, lowest)
  packed_shape = Shape (packed)
  zero = Constant <value = int64[1] {0}> ()
  leading = Slice (packed_shape, zero, rest)
  row_shape = Concat <axis = 0> (leading, rest)
  rows = Reshape (bits, row_shape)
  real = Slice (rows, zero, channels1, rest)
  as_float = Cast <to = 1> (real)
  two = Constant <value_float = 2.0> ()
  doubled = Mul (as_float, two)
  signs = Sub (doubled, one)
"""

_CHANNELS = """
  channels0 = Constant <value_int: int = @channels> ()
  channels1 = Reshape (channels0, rest)
  one = Constant <value_float = 1.0> ()
"""

# The spatial axes, 2 to rank + 1.
_AXES = """
  first_axis = Constant <value_int = 2> ()
  rank0 = Squeeze (rank)
  last_axis = Add (first_axis, rank0)
  axis_step = Constant <value_int = 1> ()
  axes = Range (first_axis, last_axis, axis_step)
"""

_WHOLE_WEIGHT = """
  packed = Identity (W)
  axis1 = Constant <value = int64[1] {1}> ()
  axis2 = Constant <value = int64[1] {2}> ()
"""

_EPILOGUE = """
  accumulator = Round (sums)
  scale_column = Reshape (scale, column)
  bias_column = Reshape (bias, column)
  scaled = Mul (accumulator, scale_column)
  Y = Add (scaled, bias_column)
"""

_BODIES = {
    "BinaryConv": _COLUMN
    + _AXES
    + _WHOLE_WEIGHT
    + "  level = Reshape (threshold, column)"
    + _BINARIZE
    + _CHANNELS
    + _UNPACK
    + """
  by_channel = Transpose <perm = [0, 2, 1]> (signs)
  outputs = Slice (packed_shape, zero, axis1)
  weight_shape = Concat <axis = 0> (outputs, channels1, kernel)
  weight = Reshape (by_channel, weight_shape)
  pad_widths = Constant <value_ints: ints = @pads> ()
  pad_level = Constant <value_float: float = @pad_value> ()
  padded = Pad <mode: string = @pad_mode> (activation, pad_widths, pad_level, axes)
  sums = Conv <kernel_shape: ints = @kernel_shape, strides: ints = @strides, dilations: ints = @dilations,
               group: int = @group> (padded, weight)
"""
    + _EPILOGUE,
    "LevelConv": _COLUMN
    + _AXES
    + _WHOLE_WEIGHT
    + _CHANNELS
    + """
  gain_level = Reshape (gain, column)
  offset_level = Reshape (offset, column)
"""
    + _LEVELS
    + _UNPACK
    + """
  by_channel = Transpose <perm = [0, 2, 1]> (signs)
  outputs = Slice (packed_shape, zero, axis1)
  weight_shape = Concat <axis = 0> (outputs, channels1, kernel)
  weight = Reshape (by_channel, weight_shape)
  pad_widths = Constant <value_ints: ints = @pads> ()
  padded = Pad <mode: string = @pad_mode> (activation, pad_widths, lowest_level, axes)
  sums = Conv <kernel_shape: ints = @kernel_shape, strides: ints = @strides, dilations: ints = @dilations,
               group: int = @group> (padded, weight)
"""
    + _EPILOGUE,
    # ONNX wants [C, O/group, *kernel]; W has a row of C/group channels for every output channel. Pad crops (negative
    # widths) and adds output_padding, because onnxruntime refuses an output_padding that only the dilation allows.
    "BinaryConvTranspose": _COLUMN
    + _AXES
    + _WHOLE_WEIGHT
    + "  level = Reshape (threshold, column)"
    + _BINARIZE
    + _CHANNELS
    + _UNPACK
    + """
  groups0 = Constant <value_int: int = @group> ()
  groups1 = Reshape (groups0, rest)
  outputs = Slice (packed_shape, zero, axis1)
  outputs_of_group = Div (outputs, groups1)
  taps = Slice (packed_shape, axis1, axis2)
  grouped_shape = Concat <axis = 0> (groups1, outputs_of_group, taps, channels1)
  grouped = Reshape (signs, grouped_shape)
  by_channel = Transpose <perm = [0, 3, 1, 2]> (grouped)
  all_channels = Mul (groups1, channels1)
  weight_shape = Concat <axis = 0> (all_channels, outputs_of_group, kernel)
  weight = Reshape (by_channel, weight_shape)
  full = ConvTranspose <kernel_shape: ints = @kernel_shape, strides: ints = @strides, dilations: ints = @dilations,
                        group: int = @group> (activation, weight)
  extra = Constant <value_ints: ints = @output_padding> ()
  zeros = Mul (extra, zero)
  extra_at_end = Concat <axis = 0> (zeros, extra)
  crop = Constant <value_ints: ints = @pads> ()
  widths = Sub (extra_at_end, crop)
  nothing = Constant <value_float = 0.0> ()
  sums = Pad <mode = "constant"> (full, widths, nothing, axes)
"""
    + _EPILOGUE,
    "BinaryLinear": """
  rest = Constant <value = int64[1] {-1}> ()
  packed = Identity (W)
  level = Identity (threshold)
"""
    + _BINARIZE
    + _CHANNELS
    + _UNPACK
    + """
  weight = Transpose <perm = [1, 0]> (signs)
  sums = MatMul (activation, weight)
  accumulator = Round (sums)
  scaled = Mul (accumulator, scale)
  Y = Add (scaled, bias)
""",
    "LevelLinear": """
  rest = Constant <value = int64[1] {-1}> ()
  packed = Identity (W)
  gain_level = Identity (gain)
  offset_level = Identity (offset)
"""
    + _CHANNELS
    + _LEVELS
    + _UNPACK
    + """
  weight = Transpose <perm = [1, 0]> (signs)
  sums = MatMul (activation, weight)
  accumulator = Round (sums)
  scaled = Mul (accumulator, scale)
  Y = Add (scaled, bias)
""",
    "BinaryEmbedding": """
  rest = Constant <value = int64[1] {-1}> ()
  packed = Gather <axis = 0> (W, ids)
"""
    + _CHANNELS
    + _UNPACK
    + """
  table_shape = Shape (W)
  entries = Slice (table_shape, zero, rest)
  scales = Expand (scale, entries)
  scale_wanted = Gather <axis = 0> (scales, ids)
  scale_column = Unsqueeze (scale_wanted, rest)
  Y = Mul (signs, scale_column)
""",
    # The threshold as [-1, 1, ..., 1]: one 1 for each axis of X behind `axis`. Mod has the sign of the divisor, so a
    # negative axis counts from the end.
    "Binarize": """
  X_shape = Shape (X)
  rank = Size (X_shape)
  axis0 = Constant <value_int: int = @axis> ()
  axis_from_0 = Mod (axis0, rank)
  one_axis = Constant <value_int = 1> ()
  up_to_axis = Add (axis_from_0, one_axis)
  behind0 = Sub (rank, up_to_axis)
  rest = Constant <value = int64[1] {-1}> ()
  behind = Reshape (behind0, rest)
  ones = ConstantOfShape <value = int64[1] {1}> (behind)
  column = Concat <axis = 0> (rest, ones)
  level = Reshape (threshold, column)
  upper = Constant <value_float = 1.0> ()
  lower = Constant <value_float: float = @low> ()
  is_set = GreaterOrEqual (X, level)
  Y = Where (is_set, upper, lower)
""",
    # W is [rows, taps, bytes], or [rows, bytes] when shape has no kernel.
    "UnpackWeight": """
  rest = Constant <value = int64[1] {-1}> ()
  packed = Identity (W)
  shape_all = Constant <value_ints: ints = @shape> ()
  axis1 = Constant <value = int64[1] {1}> ()
  axis2 = Constant <value = int64[1] {2}> ()
  channels1 = Slice (shape_all, axis1, axis2)
  one = Constant <value_float = 1.0> ()
"""
    + _UNPACK
    + """
  row_count = Slice (shape_all, zero, axis1)
  tap_shape = Concat <axis = 0> (row_count, rest, channels1)
  by_tap = Reshape (signs, tap_shape)
  by_channel = Transpose <perm = [0, 2, 1]> (by_tap)
  Y = Reshape (by_channel, shape_all)
""",
}


def function(op: str, opset: int = MIN_OPSET) -> onnx.FunctionProto:
    """The function body of one operator, written for default-domain operator set `opset`.

    Raises:
        DialectError: the dialect has no such operator, or `opset` is not supported.
    """
    import onnx.parser

    if op not in _BODIES:
        raise DialectError(f"the dialect has no operator {op!r}; it has {sorted(_BODIES)}")
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise DialectError(f"the dialect's functions support opset {MIN_OPSET} to {MAX_OPSET}, got {opset}")
    attrs = OPS[op]
    text = (
        f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>\n'
        f"{op} <{', '.join(attrs.__dataclass_fields__)}> ({', '.join(attrs.inputs)}) => (Y) {{\n{_BODIES[op]}}}"
    )
    proto = onnx.parser.parse_function(text)
    proto.doc_string = (attrs.__doc__ or "").strip()
    return proto


def functions(opset: int = MIN_OPSET) -> list[onnx.FunctionProto]:
    """The function bodies of all operators."""
    return [function(op, opset) for op in _BODIES]


def add_functions(model: Any) -> None:
    """Attaches the bodies of the dialect's operators that `model` uses, in place, and imports the domain.

    Args:
        model: an `onnx.ModelProto` or an `onnx_ir.Model`. Bodies that it has already are replaced.

    Raises:
        DialectError: the model uses an unknown operator of the domain, or a default-domain opset that the bodies
            do not support.
    """
    import onnx

    if isinstance(model, onnx.ModelProto):
        _add_to_proto(model)
    else:
        _add_to_ir(model)


def _check_ops(used: set[str]) -> None:
    unknown = used - _BODIES.keys()
    if unknown:
        raise DialectError(f"the model uses {sorted(unknown)} of domain {DOMAIN}, which has only {sorted(_BODIES)}")


def _add_to_proto(model: onnx.ModelProto) -> None:
    import onnx

    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), MIN_OPSET)
    used = {node.op_type for node in _proto_nodes(model.graph) if node.domain == DOMAIN}
    _check_ops(used)
    kept = [f for f in model.functions if f.domain != DOMAIN]
    del model.functions[:]
    model.functions.extend([*kept, *(function(op, opset) for op in sorted(used))])
    if used and all(o.domain != DOMAIN for o in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))


def _proto_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    nodes = []
    for node in graph.node:
        nodes.append(node)
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                nodes.extend(_proto_nodes(inner))
    return nodes


def _add_to_ir(model: Any) -> None:
    import onnx_ir as ir

    opset = model.opset_imports.get("", MIN_OPSET)
    used = {node.op_type for node in model.graph.all_nodes() if node.domain == DOMAIN}
    _check_ops(used)
    for key in [key for key in model.functions if key[0] == DOMAIN]:
        del model.functions[key]
    for op in sorted(used):
        body = ir.serde.deserialize_function(function(op, opset))
        model.functions[body.identifier()] = body
    if used:
        model.opset_imports[DOMAIN] = VERSION
