"""Softmax in its forms, and the outputs of training losses."""

from __future__ import annotations

from ..call import Call, converts
from ..unsupported import Unsupported

SOFTMAX_HEADS = ("SoftmaxOutput", "Softmax")  # MXNet has renamed it


@converts(*SOFTMAX_HEADS)
def softmax_output(call: Call) -> str:
    """The loss layer of a classifier. Without labels it is a softmax, which is written only when the caller asks."""
    x = call.tensor(0)
    if not call.probabilities:
        call.found(call.node.op, "nothing", "the outputs are the logits; probabilities=True keeps the softmax")
        return x
    if call.attrs.flag("preserve_shape", False):
        axis = len(call.sample(x))
    elif call.attrs.flag("multi_output", False):
        axis = 1
    else:
        if len(call.sample(x)) != 1:
            raise Unsupported(f"its input is {call.text(call.sample(x))}; without multi_output it must be [N, classes]")
        axis = 1
    call.found(call.node.op, "Softmax")
    return call.onnx("Softmax", [x], name=call.name, axis=axis)


@converts("softmax", "log_softmax")
def softmax(call: Call) -> str:
    """Softmax or its logarithm along an axis."""
    if call.attrs.has("temperature") and call.attrs.number("temperature") != 1:
        raise Unsupported(f"its temperature is {call.attrs.number('temperature'):g}; only 1 can be imported")
    op = "Softmax" if call.node.op == "softmax" else "LogSoftmax"
    return call.onnx(op, [call.tensor(0)], name=call.name, axis=_axis(call, call.attrs.integer("axis", -1)))


@converts("SoftmaxActivation")
def softmax_activation(call: Call) -> str:
    """Softmax over the channels of every pixel, or over the whole sample (instance)."""
    x = call.tensor(0)
    channel = call.attrs.text("mode", "instance", ("instance", "channel")) == "channel"
    if not channel and len(call.sample(x)) != 1:
        raise Unsupported(f"its mode is instance, its input {call.text(call.sample(x))}; it must be [N, features] then")
    return call.onnx("Softmax", [x], name=call.name, axis=1)


@converts("LogisticRegressionOutput")
def logistic(call: Call) -> str:
    """A sigmoid."""
    return call.onnx("Sigmoid", [call.tensor(0)], name=call.name)


@converts("LinearRegressionOutput", "MAERegressionOutput")
def regression(call: Call) -> str:
    """The input itself."""
    return call.tensor(0)


def _axis(call: Call, axis: int) -> int:
    rank = len(call.sample(call.tensor(0))) + 1
    positive = axis + rank if axis < 0 else axis
    if not 0 < positive < rank:
        raise Unsupported(f"its axis {axis} is the batch or out of range for rank {rank}")
    return positive
