"""Sums, products, comparisons of tensors and with scalars; Dropout and what else passes its input on."""

from __future__ import annotations

from ..call import Call, converts
from ..unsupported import Unsupported

_TWO = {
    "Add": ("elemwise_add", "_Plus", "_plus", "_add", "broadcast_add", "broadcast_plus", "_grad_add"),
    "Sub": ("elemwise_sub", "_Minus", "_minus", "_sub", "broadcast_sub", "broadcast_minus"),
    "Mul": ("elemwise_mul", "_Mul", "_mul", "broadcast_mul"),
    "Div": ("elemwise_div", "_Div", "_div", "broadcast_div"),
    "Max": ("_maximum", "_Maximum", "broadcast_maximum"),
    "Min": ("_minimum", "_Minimum", "broadcast_minimum"),
}
_TWO_ONNX = {op: onnx for onnx, ops in _TWO.items() for op in ops}
_SCALAR = {
    "Add": ("_plus_scalar", "_PlusScalar"),
    "Sub": ("_minus_scalar", "_MinusScalar"),
    "Mul": ("_mul_scalar", "_MulScalar"),
    "Div": ("_div_scalar", "_DivScalar"),
    "Pow": ("_power_scalar", "_PowerScalar"),
}
_SCALAR_ONNX = {op: onnx for onnx, ops in _SCALAR.items() for op in ops}
_REVERSED = {"_rminus_scalar": "Sub", "_RMinusScalar": "Sub", "_rdiv_scalar": "Div", "_RDivScalar": "Div"}


@converts(*_TWO_ONNX)
def two(call: Call) -> str:
    """A function of two tensors; the broadcast_ forms have equal ranks, so ONNX's rule is the same."""
    a, b = call.tensor(0), call.tensor(1)
    shapes = [call.build.shape(t) for t in (a, b)]
    if shapes[0] is None or shapes[1] is None or len(shapes[0]) != len(shapes[1]):
        raise Unsupported(f"its operands {shapes[0]} and {shapes[1]} differ in rank")
    equal = shapes[0] == shapes[1]
    fits = all(m == n or m == 1 or n == 1 for m, n in zip(*shapes, strict=True))
    if not (equal or ("broadcast" in call.node.op and fits)):
        raise Unsupported(f"its operands have the shapes {list(shapes[0])} and {list(shapes[1])}")
    return call.onnx(_TWO_ONNX[call.node.op], [a, b], name=call.name)


@converts("_maximum_scalar", "_MaximumScalar", "_minimum_scalar", "_MinimumScalar")
def limit(call: Call) -> str:
    """The larger or smaller of x and a scalar: a Clip, which the engine runs."""
    bound = call.scalar(call.attrs.number("scalar"))
    inputs = [call.tensor(0), bound] if "max" in call.node.op.lower() else [call.tensor(0), "", bound]
    return call.onnx("Clip", inputs, name=call.name)


@converts("add_n", "ElementWiseSum")
def add_n(call: Call) -> str:
    """A sum of any number of tensors, from the left."""
    total = call.tensor(0)
    for i in range(1, call.count):
        other = call.tensor(i)
        first, second = call.sample(total), call.sample(other)
        if first != second:
            raise Unsupported(f"its operands {call.text(first)} and {call.text(second)} differ")
        total = call.onnx("Add", [total, other], name=call.name)
    return total


@converts(*_SCALAR_ONNX)
def scalar(call: Call) -> str:
    """A function of a tensor and a scalar."""
    return call.onnx(
        _SCALAR_ONNX[call.node.op], [call.tensor(0), call.scalar(call.attrs.number("scalar"))], name=call.name
    )


@converts(*_REVERSED)
def reversed_scalar(call: Call) -> str:
    """A function of a scalar and a tensor."""
    return call.onnx(
        _REVERSED[call.node.op], [call.scalar(call.attrs.number("scalar")), call.tensor(0)], name=call.name
    )


@converts("Dropout", "identity", "_copy", "_identity_with_attr_like_rhs", "BlockGrad", "stop_gradient", "MakeLoss")
def identity(call: Call) -> str:
    """What changes nothing in inference. Dropout's second output, its mask, does not exist then."""
    if call.node.op == "Dropout" and call.attrs.text("mode", "training", ("training", "always")) == "always":
        raise Unsupported("its mode is always: its output is random")
    return call.tensor(0)


@converts("Cast", "amp_cast")
def cast(call: Call) -> str:
    """A cast to float32, the type that everything here has."""
    if call.attrs.text("dtype", None) != "float32":
        raise Unsupported(f"it casts to {call.attrs.text('dtype')}; only float32 can be imported")
    return call.tensor(0)
