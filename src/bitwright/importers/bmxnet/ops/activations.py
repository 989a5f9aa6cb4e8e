"""Activation, LeakyReLU, and the functions that are operators of their own."""

from __future__ import annotations

import numpy as np

from ..call import Call, converts
from ..unsupported import Unsupported

_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}
_FUNCTIONS = {
    "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softsign": "Softsign", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "abs": "Abs", "negative": "Neg", "erf": "Erf", "floor": "Floor", "ceil": "Ceil", "sign": "Sign",
    "reciprocal": "Reciprocal", "sin": "Sin", "cos": "Cos",
}  # fmt: skip


@converts("Activation")
def activation(call: Call) -> str:
    """relu, sigmoid, tanh, softrelu (log(1 + exp x)), softsign."""
    act = call.attrs.text("act_type", None, _ACTIVATIONS)
    return call.onnx(_ACTIVATIONS[act], [call.tensor(0)], name=call.name)


@converts(*_FUNCTIONS)
def function(call: Call) -> str:
    """A function with an ONNX operator of the same meaning."""
    return call.onnx(_FUNCTIONS[call.node.op], [call.tensor(0)], name=call.name)


@converts("square")
def square(call: Call) -> str:
    """x * x."""
    x = call.tensor(0)
    return call.onnx("Mul", [x, x], name=call.name)


@converts("hard_sigmoid")
def hard_sigmoid(call: Call) -> str:
    """clip(alpha x + beta, 0, 1)."""
    alpha, beta = call.attrs.number("alpha", 0.2), call.attrs.number("beta", 0.5)
    return call.onnx("HardSigmoid", [call.tensor(0)], name=call.name, alpha=alpha, beta=beta)


@converts("clip")
def clip(call: Call) -> str:
    """Clip to a_min .. a_max."""
    low, high = call.attrs.number("a_min"), call.attrs.number("a_max")
    return call.onnx("Clip", [call.tensor(0), call.scalar(low), call.scalar(high)], name=call.name)


@converts("LeakyReLU")
def leaky_relu(call: Call) -> str:
    """leaky, prelu (a slope per channel), elu, selu, gelu, rrelu (its mean slope, as in inference)."""
    x = call.tensor(0)
    kind = call.attrs.text("act_type", "leaky", ("leaky", "prelu", "elu", "selu", "gelu", "rrelu"))
    slope = call.attrs.number("slope", 0.25)
    if kind == "prelu":
        sample = call.sample(x)
        data = call.floats(call.param(1, "gamma"), "gamma")
        if data.size not in (1, sample[0]):
            raise Unsupported(f"its gamma has {data.size} slopes, its input is {call.text(sample)}")
        shaped = data.reshape(-1, *[1] * (len(sample) - 1))
        return call.onnx("PRelu", [x, call.build.constant(shaped, f"{call.name}.gamma")], name=call.name)
    if kind == "elu":
        return call.onnx("Elu", [x], name=call.name, alpha=slope)
    if kind == "selu":
        return call.onnx("Selu", [x], name=call.name, alpha=1.6732632423543772, gamma=1.0507009873554805)
    if kind == "gelu":
        return call.onnx("Gelu", [x], name=call.name)
    if kind == "rrelu":
        low, high = call.attrs.number("lower_bound", 0.125), call.attrs.number("upper_bound", 0.334)
        slope = float((np.float32(low) + np.float32(high)) / np.float32(2))
    return call.onnx("LeakyRelu", [x], name=call.name, alpha=slope)
