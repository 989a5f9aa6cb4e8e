"""Light passes over an exported graph. They never touch the bits and never merge float layers: the compiler does that.

torch's own optimizer would inline the dialect's functions and unfold packed weights to floats, so it stays off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

# Operators that only rearrange constants, or compute with shapes and scalars.
_FOLDABLE = {
    "Add",
    "Cast",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Div",
    "Expand",
    "Gather",
    "Identity",
    "Mul",
    "Neg",
    "Range",
    "Reshape",
    "Shape",
    "Slice",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
}
_VIEWS = {"Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_SMALL = 64
"""Elements up to which arithmetic on constants is done here; larger constants are only viewed differently."""
_BIAS = 65536
"""Elements up to which a constant is expanded: the exporter writes the zero bias of a convolution so."""


def run_passes(model: ir.Model) -> None:
    """Folds shape arithmetic, makes reshapes static, drops what nobody reads. In place."""
    cast_constants(model)
    fold_constants(model)
    drop_zero_bias(model)
    static_reshapes(model)
    pick_from_stacks(model)
    drop_identities(model)
    drop_unused(model)


def cast_constants(model: ir.Model) -> None:
    """CastLike with a known type becomes Cast, so that it can be folded."""
    for node in list(model.graph):
        like = node.inputs[1] if node.domain == "" and node.op_type == "CastLike" else None
        if like is not None and like.dtype is not None:
            cast = ir.Node("", "Cast", [node.inputs[0]], [ir.AttrInt64("to", like.dtype)], name=node.name)
            cast.metadata_props.update(node.metadata_props)
            _replace_node(model.graph, node, cast)


def fold_constants(model: ir.Model) -> None:
    """Nodes of `_FOLDABLE` operators whose inputs are constants become initializers; equal ones are shared."""
    graph = model.graph
    known: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
    for node in list(graph):
        if node.domain != "" or node.op_type not in _FOLDABLE or len(node.outputs) != 1:
            continue
        if any(node.outputs[0] is value for value in graph.outputs):
            continue
        inputs = [None if value is None else _constant(value) for value in node.inputs]
        if node.op_type == "Shape" and inputs[0] is None:
            inputs[0] = _shaped(node.inputs[0])
        if any(value is not None and found is None for value, found in zip(node.inputs, inputs, strict=True)):
            continue
        size = max((found.size for found in inputs if found is not None), default=0)
        if node.op_type not in (*_VIEWS, "Shape") and size > _SMALL:
            continue
        result = _evaluate(node, inputs, model.opset_imports.get("", 18))
        if node.op_type in ("ConstantOfShape", "Expand", "Range") and result.size > _BIAS:
            continue
        key = (str(result.dtype), result.shape, result.tobytes())
        if key not in known:
            known[key] = _initializer(graph, _fresh(graph, _constant_name(node)), result)
        ir.convenience.replace_all_uses_with(node.outputs[0], known[key])
        graph.remove(node, safe=True)


def drop_zero_bias(model: ir.Model) -> None:
    """A convolution whose bias is all zero loses it."""
    for node in model.graph:
        if node.domain == "" and node.op_type in ("Conv", "ConvTranspose") and len(node.inputs) == 3:
            bias = None if node.inputs[2] is None else _constant(node.inputs[2])
            if bias is not None and not bias.any():
                node.resize_inputs(2)


def static_reshapes(model: ir.Model) -> None:
    """A Reshape to a computed shape with at most one unknown dimension gets a constant one (-1 for the unknown)."""
    for node in list(model.graph):
        if node.domain != "" or node.op_type != "Reshape" or node.inputs[1] is None:
            continue
        shape = node.outputs[0].shape
        if _constant(node.inputs[1]) is not None or shape is None:
            continue
        sizes = [dim if isinstance(dim, int) else -1 for dim in shape]
        if sizes.count(-1) > 1 or 0 in sizes:
            continue
        target = np.array(sizes, dtype=np.int64)
        name = _fresh(model.graph, f"{node.outputs[0].name}.shape")
        node.replace_input_with(1, _initializer(model.graph, name, target))


def pick_from_stacks(model: ir.Model) -> None:
    """`torch.stack(xs)[k]` with a constant k is `xs[k]`: the last state of a recurrent layer, which lies in front of
    the batch axis, or its last output.
    """
    outputs = {id(value) for value in model.graph.outputs}
    for node in list(model.graph):
        if node.domain != "" or node.op_type != "Gather" or id(node.outputs[0]) in outputs:
            continue
        index, source = node.inputs[1], _behind_full_slices(node.inputs[0])
        at = None if index is None else _constant(index)
        joined = None if source is None else source.producer()
        if at is None or at.ndim or joined is None or joined.op_type != "Concat" or joined.domain != "":
            continue
        axis = joined.attributes["axis"].as_int()
        picked = node.attributes.get("axis")
        pieces = [None if value is None else _unsqueezed(value, axis) for value in joined.inputs]
        if (0 if picked is None else picked.as_int()) != axis or axis < 0 or any(p is None for p in pieces):
            continue
        if not -len(pieces) <= int(at) < len(pieces):
            continue
        piece = pieces[int(at)]
        assert piece is not None
        ir.convenience.replace_all_uses_with(node.outputs[0], piece)
        model.graph.remove(node, safe=True)


def _unsqueezed(value: ir.Value, axis: int) -> ir.Value | None:
    """x where `value` is Unsqueeze(x, [axis])."""
    node = value.producer()
    if node is None or node.domain != "" or node.op_type != "Unsqueeze" or node.inputs[1] is None:
        return None
    axes = _constant(node.inputs[1])
    return node.inputs[0] if axes is not None and axes.reshape(-1).tolist() == [axis] else None


def _behind_full_slices(value: ir.Value | None) -> ir.Value | None:
    """The value without Slices that take everything (`x[:, k]` has one)."""
    while value is not None:
        node = value.producer()
        if node is None or node.domain != "" or node.op_type != "Slice":
            return value
        bounds = [None if v is None else _constant(v) for v in node.inputs[1:]]
        if any(b is None for b in bounds):
            return value
        starts, ends = bounds[0], bounds[1]
        steps = bounds[3] if len(bounds) > 3 else None
        assert starts is not None
        assert ends is not None
        if starts.any() or (ends < (1 << 31) - 1).any() or (steps is not None and (steps != 1).any()):
            return value
        value = node.inputs[0]
    return None


def drop_identities(model: ir.Model) -> None:
    """Identity nodes in the middle of the graph disappear; one that names a model output stays."""
    outputs = {id(value) for value in model.graph.outputs}
    for node in list(model.graph):
        if node.domain == "" and node.op_type == "Identity" and id(node.outputs[0]) not in outputs:
            source = node.inputs[0]
            assert source is not None
            ir.convenience.replace_all_uses_with(node.outputs[0], source)
            model.graph.remove(node, safe=True)


def drop_unused(model: ir.Model) -> None:
    """Removes nodes and initializers that nobody reads."""
    graph = model.graph
    outputs = {id(value) for value in graph.outputs}
    for node in reversed(list(graph)):
        if all(not value.uses() and id(value) not in outputs for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and id(value) not in outputs:
            del graph.initializers[name]


def _constant(value: ir.Value) -> np.ndarray[Any, Any] | None:
    return None if value.const_value is None else value.const_value.numpy()


def _shaped(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    """Something of the value's shape, if all of it is known (an unpacked weight's is): enough for Shape."""
    if value is None or value.shape is None:
        return None
    sizes = [dim for dim in value.shape if isinstance(dim, int)]
    return np.broadcast_to(np.zeros((), np.float32), sizes) if len(sizes) == len(value.shape) else None


def _evaluate(node: ir.Node, inputs: list[np.ndarray[Any, Any] | None], opset: int) -> np.ndarray[Any, Any]:
    """Runs one standard operator in the ONNX reference evaluator."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    names = ["" if value is None else f"i{k}" for k, value in enumerate(inputs)]
    proto = ir.serde.serialize_node(node)
    del proto.input[:]
    proto.input.extend(names)
    proto.output[0] = "out"
    types = onnx.helper.np_dtype_to_tensor_dtype
    infos = [
        onnx.helper.make_tensor_value_info(n, types(v.dtype), v.shape)
        for n, v in zip(names, inputs, strict=True)
        if v is not None
    ]
    unknown = onnx.helper.make_value_info("out", onnx.TypeProto())
    graph = onnx.helper.make_graph([proto], "fold", infos, [unknown])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    feeds = {n: v for n, v in zip(names, inputs, strict=True) if v is not None}
    outputs: Any = ReferenceEvaluator(model).run(None, feeds)
    return np.array(outputs[0], order="C")


def _constant_name(node: ir.Node) -> str:
    """A view of a parameter keeps the parameter's name."""
    source = node.inputs[0] if node.op_type in _VIEWS and node.inputs else None
    if source is not None and source.name is not None:
        return f"{source.name}.{node.op_type.lower()}"
    return f"{node.outputs[0].name}.value"


def _replace_node(graph: ir.Graph, old: ir.Node, new: ir.Node) -> None:
    new.outputs[0].name, new.outputs[0].type, new.outputs[0].shape = (
        old.outputs[0].name,
        old.outputs[0].type,
        old.outputs[0].shape,
    )
    ir.convenience.replace_nodes_and_values(graph, old, [old], [new], old.outputs, new.outputs)


def _initializer(graph: ir.Graph, name: str, array: np.ndarray[Any, Any]) -> ir.Value:
    tensor = ir.Tensor(array, name=name)  # no ascontiguousarray(): it would turn a scalar into a vector
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor)
    graph.register_initializer(value)
    return value


def _fresh(graph: ir.Graph, name: str) -> str:
    candidate, number = name, 1
    while candidate in graph.initializers:
        number += 1
        candidate = f"{name}.{number}"
    return candidate
