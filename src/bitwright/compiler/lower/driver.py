"""Walks the graph once: folds constants, lowers every node, binds the outputs; collects every problem before it
gives up."""

from __future__ import annotations

import numpy as np

from ..dialect import DialectError, read_node
from ..errors import CompileError, Problem, Unsupported, UnsupportedModelError
from ..fold import Known, fold
from ..graph import DIALECT, Graph, GraphInput, Node
from ..program import Const, Dims4, DType, FConv, Program, Value
from ..view import CHANNELS_FIRST, Axes, C, View
from .context import REGISTRY, Context

# Random numbers are no constants.
_NEVER_FOLDED = {
    "SequenceAt", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli",
}  # fmt: skip
_CHANNELS_LAST_OPS = {"MatMul", "Gemm", "BinaryLinear", "LevelLinear"}
# A vector whose features must be reordered for the caller goes through a dense permutation; larger ones are refused.
_PERMUTATION_LIMIT = 8192


def lower(graph: Graph, *, permuted: int = _PERMUTATION_LIMIT) -> Program:
    """Lowers a graph to an unfused program: each node is an op of its own that stores its output.

    `permuted`: a flattened map of at most so many elements may be an output.

    Raises `UnsupportedModelError` with every node that cannot be lowered, `CompileError` for an input the engine
    cannot take.
    """
    ctx = Context(graph)
    for name, data in graph.constants.items():
        ctx.env[name] = Known((data, data))
    ctx.env.update(graph.varying)
    batches = set()
    for given in graph.inputs:
        view = input_view(given, graph)
        ctx.env[given.name] = view
        ctx.program.inputs.append(view.value)
        if isinstance(given.shape[0], int):
            batches.add(given.shape[0])
    if len(batches) > 1:
        raise CompileError(f"the inputs have different batch sizes: {sorted(batches)}")
    ctx.batch = batches.pop() if batches else None
    problems: list[Problem] = []
    broken: set[str] = set()
    for node in graph.nodes:
        if broken.intersection(node.inputs):
            broken.update(node.outputs)  # its own problem, if any, cannot be known
            if (node.domain, node.op) not in REGISTRY and not _foldable(node):
                problems.append(_unknown(node))
            continue
        try:
            lower_node(ctx, node)
        except Unsupported as error:
            problems.append(Problem(node.name, node.title, error.why, error.advice))
            broken.update(node.outputs)
    for name in graph.outputs:
        if name in broken:
            continue
        try:
            _output(ctx, name, permuted)
        except Unsupported as error:
            problems.append(Problem(name, "output", error.why, error.advice))
    if problems:
        raise UnsupportedModelError(problems)
    names = [v.name for v in (*ctx.program.inputs, *ctx.program.outputs)]
    if len(set(names)) != len(names):
        raise CompileError(f"inputs and outputs must have distinct names: {names}")
    return ctx.program


def _foldable(node: Node) -> bool:
    """Operators that occur in shape arithmetic: behind a broken node nothing can be said about them."""
    return node.op in {"Gather", "Range", "ConstantOfShape", "Equal", "Where", "Mod", "Floor", "Ceil", "ReduceProd"}


def _unknown(node: Node) -> Problem:
    known = sorted(op for domain, op in REGISTRY if domain == node.domain)
    if node.domain == DIALECT:
        advice = f"This version knows {', '.join(known)}."
    elif node.op == "Softmax":
        advice = "Export the logits: the engine runs no Softmax yet, and the argmax is the same."
    else:
        advice = f"Supported are {', '.join(known)}." if known else "Only standard ONNX and ai.bitwright are supported."
    return Problem(node.name, node.title, "this operator is not supported.", advice)


def lower_node(ctx: Context, node: Node) -> None:
    items = [ctx.env.get(name) if name else None for name in node.inputs]
    for name, item in zip(node.inputs, items, strict=True):
        if name and item is None:
            raise Unsupported(f"its input {name!r} does not exist in the graph.")
    constants = [i for i in items if isinstance(i, Known) or i is None]
    if not node.domain and len(constants) == len(items) and not node.captures and node.op not in _NEVER_FOLDED:
        results = fold(node, constants, ctx.opset)
        for name, value in zip(node.outputs, results, strict=False):
            if name:
                ctx.env[name] = value
        return
    handler = REGISTRY.get((node.domain, node.op))
    if handler is None:
        problem = _unknown(node)
        raise Unsupported(problem.why, problem.advice)
    if node.domain == DIALECT:
        try:
            read_node(node.proto)
        except DialectError as error:
            raise Unsupported(f"{error}.") from error
    try:
        handler(ctx, node)
    except KeyError as error:
        raise Unsupported(f"its attribute {error} is missing.") from error
    for name in node.outputs:
        if name and name not in ctx.env:
            raise Unsupported(f"its output {name!r} is not computed by the engine.")


def _dims(axes: Axes, shape: list[int]) -> Dims4:
    dims = [1, 1, 1, 1]
    for axis, n in zip(axes, shape, strict=True):
        dims[axis[0] - 1] = n
    return (dims[0], dims[1], dims[2], dims[3])


def input_view(given: GraphInput, graph: Graph) -> View:
    kinds = {"FLOAT": DType.F32, "INT64": DType.I32, "INT32": DType.I32}
    if given.dtype not in kinds:
        raise CompileError(f"input {given.name!r} is {given.dtype}; inputs must be FLOAT, or INT64/INT32 for ids")
    if not given.shape:
        raise CompileError(f"input {given.name!r} is a scalar; its first axis must be the batch")
    rest = given.shape[1:]
    fixed = [n for n in rest if isinstance(n, int) and n > 0]
    if len(fixed) != len(rest):
        raise CompileError(
            f"input {given.name!r} has shape {given.shape}: only the first axis (the batch) may be dynamic. "
            "Export with fixed sizes for the others."
        )
    if len(fixed) > 4:
        raise CompileError(
            f"input {given.name!r} has {len(fixed) + 1} axes; at most 5 are supported (batch, C, D, H, W)"
        )
    dtype = kinds[given.dtype]
    if dtype is DType.I32:
        if len(fixed) > 3:
            raise CompileError(f"input {given.name!r}: ids have at most 3 axes behind the batch")
        axes: Axes = tuple((d,) for d in range(4 - len(fixed), 4))
    else:
        axes = CHANNELS_FIRST[len(fixed)]
        if _is_channels_last(given, graph):
            axes = (*axes[1:], axes[0])
        elif _is_flattened_grey(given, graph):
            axes = ((2,), (3,), (C,))
        elif len(fixed) == 2 and any(n.op in _CHANNELS_LAST_OPS and given.name in n.inputs for n in graph.nodes):
            axes = ((3,), (C,))
    value = Value(dtype, _dims(axes, fixed), name=given.name, is_input=True)
    value.external_axes = tuple(a[0] for a in axes)
    view = View(value, axes)
    value.meaning = view.meaning(given.name)
    return view


def _is_channels_last(given: GraphInput, graph: Graph) -> bool:
    """Whether all that happens to an input [N, *S, C] is a Transpose to [N, C, *S]: then it lies as the engine keeps
    maps, and nothing is moved."""
    rank = len(given.shape)
    readers = [n for n in graph.nodes if given.name in n.inputs]
    perm = [0, rank - 1, *range(1, rank - 1)]
    moved = all(n.op == "Transpose" and [int(p) for p in n.attrs.get("perm", ())] == perm for n in readers)
    return rank > 2 and bool(readers) and moved and given.name not in graph.outputs


# Elementwise operators that do not care how a map lies, if their constants are scalars.
_ANYWHERE = {"Add", "Sub", "Mul", "Div", "Neg", "Identity", "Cast", "Clip", "Relu", "Tanh", "HardSigmoid"}


def _is_flattened_grey(given: GraphInput, graph: Graph) -> bool:
    """Whether an input [N, 1, H, W] only meets scalars before it is flattened. Then its columns take the place of the
    channels: the order of the features is the same, and a pixel's bits fill words instead of one word each."""
    if len(given.shape) != 4 or given.shape[1] != 1:
        return False
    names, flattened = {given.name}, False
    for node in graph.nodes:
        if not names.intersection(node.inputs):
            continue
        others = [graph.constants.get(name) for name in node.inputs if name and name not in names]
        scalars = all(value is not None and value.size == 1 for value in others)
        reshaped = node.op == "Reshape" and bool(others) and others[0] is not None and others[0].size == 2
        if reshaped or (node.op == "Flatten" and node.attrs.get("axis", 1) == 1):
            flattened = True
        elif scalars and (node.op in _ANYWHERE or node.op == "Binarize"):
            names.update(node.outputs)
        else:
            return False
    return flattened and not names.intersection(graph.outputs)


def _output(ctx: Context, name: str, permuted: int) -> None:
    item = ctx.env.get(name)
    if not isinstance(item, View):
        what = "a constant" if isinstance(item, Known) else "not computed" if item is None else "a sequence"
        raise Unsupported(f"output {name!r} is {what}.")
    view = ctx.unpadded(item)
    if view.value.dtype is not DType.F32:
        raise Unsupported(f"output {name!r} is an integer tensor.")
    node = Node("output", "", [], [name], {}, name)
    if any(len(axis) > 1 for axis in view.effective()):
        if sum(bool(axis) for axis in view.effective()) > 1:
            raise Unsupported(f"output {name!r} {['N', *view.shape]} is a reshaped map.", "Return the map itself.")
        view = ctx.reordered(view)
    if view.order is not None:
        view = _permuted(ctx, view, node, permuted)
    if view.value.is_input or view.value.is_output:
        view = ctx.map(view, [], node)
    if len(view.axes) > 4:
        raise Unsupported(f"output {name!r} has {view.rank} axes; at most 5 are supported.")
    value = view.value
    free = [d for d in (1, 2, 3, 4) if value.dims[d - 1] == 1 and (d,) not in view.effective()]
    axes = []
    for axis in view.effective():
        axes.append(axis[0] if axis else free.pop(0))
    value.external_axes = tuple(axes)
    value.is_output = True
    value.name = name
    value.meaning = View(value, tuple((a,) for a in axes)).meaning(name)
    ctx.program.outputs.append(value)


def _permuted(ctx: Context, view: View, node: Node, limit: int) -> View:
    """A flattened map in the order of the ONNX tensor, through a dense permutation (exact: one product with 1,
    others with 0)."""
    assert view.order is not None
    n = view.value.channels
    if n > limit:
        raise Unsupported(
            f"output {node.name!r} is a flattened map of {n} elements, which the engine keeps channels-last.",
            "Return the map before it is flattened.",
        )
    weight = np.zeros((n, n), dtype=np.float32)
    weight[np.arange(n), view.order] = 1
    axes: Axes = tuple((C,) if axis else () for axis in view.effective())
    store, result = ctx.store((1, 1, 1, n), axes, node)
    ctx.emit(FConv(node.name, view.value, [store], weight=Const(weight), out_channels=n), node)
    return result
