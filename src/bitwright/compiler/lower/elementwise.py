"""Elementwise operators and batch normalization: chains of MAP steps, which `passes.fuse` moves into the op before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import Unsupported
from ..fold import Known
from ..graph import Node
from ..program import DType, Step, StepKind, UnaryFn
from ..view import C, View
from .context import Context, lowers

INF = float("inf")


def _input(ctx: Context, node: Node, i: int = 0) -> View:
    view = ctx.view(node, i)
    if view.value.dtype is not DType.F32:
        raise Unsupported("its input is an integer tensor.", "Only BinaryEmbedding reads integers.")
    return view


def _emit(ctx: Context, node: Node, view: View, steps: list[Step]) -> None:
    ctx.result(node, ctx.map(view, steps, node))


@lowers("BatchNormalization")
def batch_norm(ctx: Context, node: Node) -> None:
    """BatchNormalization in inference -> AFFINE.

    The factors are computed in float32 in the order that PyTorch's CPU kernel uses: `invstd = 1/sqrt(var + eps)`,
    `a = gamma*invstd`, `b = beta - mean*a` (code read: aten/src/ATen/native/batch_norm.h and Normalization.cpp).
    """
    if int(node.attrs.get("training_mode", 0)) or len([o for o in node.outputs if o]) > 1:
        raise Unsupported("it is in training mode.", "Export the model after .eval().")
    view = _input(ctx, node)
    gamma, beta, mean, var = (
        ctx.floats(node, i + 1, what).reshape(-1) for i, what in enumerate(("scale", "bias", "mean", "variance"))
    )
    eps = np.float32(node.attrs.get("epsilon", 1e-5))
    if np.any(var + eps <= 0):
        raise Unsupported("its variance is negative or zero.", "The training has diverged.")
    invstd = np.float32(1) / np.sqrt(var + eps)
    a = gamma * invstd
    b = beta - mean * a
    shape = (1, -1, *[1] * (view.rank - 2))
    if not view.shape or view.shape[0] != gamma.size:
        raise Unsupported(f"it has {gamma.size} channels, its input is {['N', *view.shape]}.")
    _affine(ctx, node, view, a.reshape(shape), b.reshape(shape))


def _affine(ctx: Context, node: Node, view: View, a: np.ndarray, b: np.ndarray) -> None:
    """x*a + b, where a and b broadcast with the tensor."""
    view, ca, p0 = ctx.channel_const(view, a, "scale")
    view, cb, p1 = ctx.channel_const(view, b, "shift")
    if ca is None and cb is not None:  # `view` may have been laid out anew between the two
        view, ca, p0 = ctx.channel_const(view, a, "scale")
    _emit(ctx, node, view, [Step(StepKind.AFFINE, None, ca, cb, p0, p1)])


def _clamp(lo: float, hi: float) -> Step:
    return Step(StepKind.CLAMP, p0=lo, p1=hi)


def _unary(fn: UnaryFn) -> Step:
    return Step(StepKind.UNARY, n=int(fn))


_SIMPLE: dict[str, Callable[[], list[Step]]] = {
    "Relu": lambda: [_clamp(0.0, INF)],
    "Sigmoid": lambda: [_unary(UnaryFn.SIGMOID)],
    "Tanh": lambda: [_unary(UnaryFn.TANH)],
    "Abs": lambda: [_unary(UnaryFn.ABS)],
    "Neg": lambda: [_unary(UnaryFn.NEGATE)],
    "Exp": lambda: [_unary(UnaryFn.EXP)],
    "Sqrt": lambda: [_unary(UnaryFn.SQRT)],
    "Erf": lambda: [_unary(UnaryFn.ERF)],
}


@lowers(*_SIMPLE)
def simple(ctx: Context, node: Node) -> None:
    """Functions that are one step."""
    _emit(ctx, node, _input(ctx, node), _SIMPLE[node.op]())


@lowers("Gelu")
def gelu(ctx: Context, node: Node) -> None:
    """Gelu, in its exact form."""
    if str(node.attrs.get("approximate", "none")) != "none":
        raise Unsupported("it is the tanh approximation.", 'Use approximate="none".')
    _emit(ctx, node, _input(ctx, node), [_unary(UnaryFn.GELU)])


@lowers("LeakyRelu")
def leaky_relu(ctx: Context, node: Node) -> None:
    """LeakyRelu -> PRELU with one slope."""
    slope = float(np.float32(node.attrs.get("alpha", 0.01)))
    _emit(ctx, node, _input(ctx, node), [Step(StepKind.PRELU, p0=slope)])


@lowers("PRelu")
def prelu(ctx: Context, node: Node) -> None:
    """PRelu with slopes per channel."""
    view, a, p0 = ctx.channel_const(_input(ctx, node), ctx.floats(node, 1, "slope"), "slope")
    _emit(ctx, node, view, [Step(StepKind.PRELU, None, a, None, p0)])


@lowers("Clip")
def clip(ctx: Context, node: Node) -> None:
    """Clip with constant bounds."""
    bounds = [-INF, INF]
    for i, name in enumerate(("min", "max")):
        if node.input(i + 1):
            bounds[i] = float(ctx.floats(node, i + 1, name).reshape(()))
        elif name in node.attrs:
            bounds[i] = float(np.float32(node.attrs[name]))
    _emit(ctx, node, _input(ctx, node), [_clamp(*bounds)])


@lowers("HardSigmoid")
def hard_sigmoid(ctx: Context, node: Node) -> None:
    """HardSigmoid = clip(alpha*x + beta, 0, 1)."""
    alpha, beta = (float(np.float32(node.attrs.get(k, v))) for k, v in (("alpha", 0.2), ("beta", 0.5)))
    _emit(ctx, node, _input(ctx, node), [Step(StepKind.AFFINE, p0=alpha, p1=beta), _clamp(0.0, 1.0)])


@lowers("HardSwish")
def hard_swish(ctx: Context, node: Node) -> None:
    """HardSwish = x * clip(x/6 + 0.5, 0, 1)."""
    view = _input(ctx, node)
    gate = [Step(StepKind.AFFINE, p0=float(np.float32(1 / 6)), p1=0.5), _clamp(0.0, 1.0)]
    _emit(ctx, node, view, [*gate, Step(StepKind.MUL, view.value)])


@lowers("Elu", "Selu")
def elu(ctx: Context, node: Node) -> None:
    """Elu = max(x, 0) + alpha*exp(min(x, 0)) - alpha, Selu = gamma times that; the negative side is its own MAP."""
    alpha, gamma = (1.6732632423543772, 1.0507009873554805) if node.op == "Selu" else (1.0, 1.0)
    gamma = float(np.float32(node.attrs.get("gamma", gamma)))
    slope = float(np.float32(node.attrs.get("alpha", alpha))) * gamma
    view = _input(ctx, node)
    falling = [_clamp(-INF, 0.0), _unary(UnaryFn.EXP), Step(StepKind.AFFINE, p0=slope, p1=-slope)]
    negative = ctx.map(view, falling, node)
    negative.value.meaning = None  # it is no tensor of the graph
    scaled = [Step(StepKind.AFFINE, p0=gamma, p1=0.0)] if gamma != 1 else []
    _emit(ctx, node, view, [_clamp(0.0, INF), *scaled, Step(StepKind.ADD, negative.value)])


# --- two operands


def _one_constant(ctx: Context, node: Node) -> int | None:
    """Index of the constant operand, None if both are activations."""
    for i in (0, 1):
        if isinstance(ctx.env.get(node.input(i)), Known):
            return i
    return None


def _pair(ctx: Context, node: Node) -> tuple[View, View]:
    a, b = _input(ctx, node, 0), _input(ctx, node, 1)
    if a.rank != b.rank:
        raise Unsupported(f"its operands have ranks {a.rank} and {b.rank}; they must be equal.")
    return a, b


def _same(a: View, b: View) -> bool:
    orders = a.order is None and b.order is None
    if a.order is not None and b.order is not None:
        orders = np.array_equal(a.order, b.order)
    return orders and a.value.dims == b.value.dims and a.effective() == b.effective()


def _is_gate(a: View, b: View) -> bool:
    """b has one pixel per sample and the channels of a on the same axis."""
    if a.order is not None or b.order is not None or b.value.dims != (1, 1, 1, a.value.channels):
        return False
    where = [i for i, axis in enumerate(a.axes) if C in axis]
    return all(
        (axis in ((C,),) and b.axes[i] == (C,)) if i in where else b.shape[i] == 1 for i, axis in enumerate(a.axes)
    )


def _both(ctx: Context, node: Node, kind: StepKind) -> None:
    a, b = _pair(ctx, node)
    if not _same(a, b) and {a.order is None, b.order is None} == {True, False}:
        a, b = (v if v.order is not None else ctx.reordered(v) for v in (a, b))
    if _same(a, b):
        _emit(ctx, node, a, [Step(kind, b.value)])
    elif kind is StepKind.MUL and _is_gate(a, b):
        _emit(ctx, node, a, [Step(kind, b.value, n=1)])
    elif kind is StepKind.MUL and _is_gate(b, a):
        _emit(ctx, node, b, [Step(kind, a.value, n=1)])
    else:
        raise Unsupported(
            f"its operands {['N', *a.shape]} and {['N', *b.shape]} differ in shape or layout.",
            "They must be equal, or, for Mul, one of them a gate [N, C, 1, ...].",
        )


@lowers("Add")
def add(ctx: Context, node: Node) -> None:
    """Add of a constant (AFFINE) or of another activation (ADD)."""
    i = _one_constant(ctx, node)
    if i is None:
        _both(ctx, node, StepKind.ADD)
        return
    view, b, p1 = ctx.channel_const(_input(ctx, node, 1 - i), ctx.floats(node, i, "constant"), "constant")
    _emit(ctx, node, view, [Step(StepKind.AFFINE, None, None, b, 1.0, p1)])


@lowers("Mul")
def mul(ctx: Context, node: Node) -> None:
    """Mul by a constant (AFFINE) or by another activation (MUL)."""
    i = _one_constant(ctx, node)
    if i is None:
        _both(ctx, node, StepKind.MUL)
        return
    view, a, p0 = ctx.channel_const(_input(ctx, node, 1 - i), ctx.floats(node, i, "constant"), "constant")
    _emit(ctx, node, view, [Step(StepKind.AFFINE, None, a, None, p0, 0.0)])


@lowers("Sub")
def sub(ctx: Context, node: Node) -> None:
    """x - c = x + (-c); c - x = (-1)*x + c; a - b = (-b) + a: all exact."""
    i = _one_constant(ctx, node)
    if i is None:
        a, b = _pair(ctx, node)
        if not _same(a, b):
            raise Unsupported(f"its operands {['N', *a.shape]} and {['N', *b.shape]} differ in shape or layout.")
        _emit(ctx, node, b, [_unary(UnaryFn.NEGATE), Step(StepKind.ADD, a.value)])
        return
    data = ctx.floats(node, i, "constant")
    view, shift, p1 = ctx.channel_const(_input(ctx, node, 1 - i), -data if i == 1 else data, "constant")
    _emit(ctx, node, view, [Step(StepKind.AFFINE, None, None, shift, 1.0 if i == 1 else -1.0, p1)])


@lowers("Div")
def div(ctx: Context, node: Node) -> None:
    """x / c = x * (1/c): exact for powers of two, else within one unit in the last place."""
    if _one_constant(ctx, node) != 1:
        raise Unsupported("its divisor is an activation.", "Only division by a constant is supported.")
    data = ctx.floats(node, 1, "divisor")
    if np.any(data == 0):
        raise Unsupported("its divisor contains 0.")
    view, a, p0 = ctx.channel_const(_input(ctx, node), np.float32(1) / data, "divisor")
    _emit(ctx, node, view, [Step(StepKind.AFFINE, None, a, None, p0, 0.0)])


@lowers("Pow")
def power(ctx: Context, node: Node) -> None:
    """Pow with the exponent 2, 1 or 0.5."""
    view = _input(ctx, node)
    exponent = float(ctx.const(node, 1, "exponent").reshape(()))
    if exponent == 2:
        _emit(ctx, node, view, [Step(StepKind.MUL, view.value)])
    elif exponent == 0.5:
        _emit(ctx, node, view, [_unary(UnaryFn.SQRT)])
    elif exponent == 1:
        ctx.result(node, view)
    else:
        raise Unsupported(f"its exponent is {exponent:g}.", "Only 0.5, 1 and 2 are supported.")
