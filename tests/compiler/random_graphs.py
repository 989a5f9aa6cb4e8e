"""Random small graphs of operators that the engine has and operators that it lacks, with skip connections. Every tensor
is a map `[N, C, H, W]` of one size, so that any two can meet."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import TensorProto, helper

from .graphs import Builder

C, H, W = 6, 4, 5


def _conv(b: Builder, x: str) -> str:
    return b.conv(x, C, C, pads=[1, 1, 1, 1])


def _depthwise(b: Builder, x: str) -> str:
    return b.conv(x, C, C, pads=[1, 1, 1, 1], group=C)


def _binary(b: Builder, x: str) -> str:
    return b.bconv(x, C, C, pads=[1, 1, 1, 1], threshold=b.normal(C))


def _dense(b: Builder, x: str) -> str:
    """Over the flattened map, and back by a reshape that splits an axis."""
    flat = b.op("Flatten", x)
    y = b.op("Gemm", flat, b.const(b.normal(C * H * W, C * H * W) / 10), b.const(b.normal(C * H * W)))
    return str(b.op("Reshape", y, b.ints(-1, C, H, W)))


def _dynamic_reshape(b: Builder, x: str) -> str:
    """There and back with the batch size taken from another tensor at run time."""
    n = b.op("Gather", b.op("Shape", "x"), b.ints(0))
    merged = b.op("Reshape", x, b.op("Concat", n, b.ints(C, H * W), axis=0))
    again = b.op("Concat", n, b.ints(C, H, W), axis=0)
    return str(b.op("Reshape", b.op("Celu", merged), again))


def _tokens(b: Builder, x: str) -> str:
    """Attention over the pixels."""
    seq = b.op("Transpose", b.op("Reshape", x, b.ints(0, C, H * W)), perm=[0, 2, 1])
    q = b.op("MatMul", seq, b.const(b.normal(C, C)))
    k = b.op("Transpose", b.op("MatMul", seq, b.const(b.normal(C, C))), perm=[0, 2, 1])
    p = b.op("Softmax", b.op("Mul", b.op("MatMul", q, k), b.const(0.3)), axis=-1)
    y = b.op("Transpose", b.op("MatMul", p, seq), perm=[0, 2, 1])
    return str(b.op("Reshape", y, b.ints(0, C, H, W)))


def _centred(b: Builder, x: str) -> str:
    return str(b.op("Sub", x, b.op("ReduceMean", x, b.ints(1))))


def _gate(b: Builder, x: str) -> str:
    return str(b.op("Mul", x, b.op("Sigmoid", b.op("GlobalAveragePool", x))))


def _argmax(b: Builder, x: str) -> str:
    index = b.op("Cast", b.op("ArgMax", x, axis=1, keepdims=1), to=TensorProto.FLOAT)
    return str(b.op("Add", x, index))


def _half(b: Builder, x: str) -> str:
    y = b.op("Cast", x, to=TensorProto.FLOAT16)
    return str(b.op("Cast", b.op("Relu", y), to=TensorProto.FLOAT))


def _if(b: Builder, x: str) -> str:
    """A branch that reads a tensor of the outer graph."""
    name = f"branch_{len(b.nodes)}"
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    yes = helper.make_graph([helper.make_node("Neg", [x], [name])], "yes", [], [out])
    no = helper.make_graph([helper.make_node("Abs", [x], [name])], "no", [], [out])
    cond = b.op("Greater", b.op("ReduceMax", x, keepdims=0), b.const(2.0))
    return str(b.op("If", cond, then_branch=yes, else_branch=no))


def _half_of(b: Builder, x: str) -> str:
    return str(b.op("Split", x, outputs=2, axis=1, num_outputs=2)[0])


ONE: dict[str, Callable[[Builder, str], str]] = {
    "relu": lambda b, x: b.op("Relu", x),
    "tanh": lambda b, x: b.op("Tanh", x),
    "norm": lambda b, x: b.batch_norm(x, C),
    "conv": _conv,
    "depthwise": _depthwise,
    "binary": _binary,
    "binarize": lambda b, x: b.binarize(x, b.normal(C)),
    "pool": lambda b, x: b.op("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "dense": _dense,
    "gate": _gate,
    "softmax": lambda b, x: b.op("Softmax", x, axis=1),
    "elu": lambda b, x: b.op("Elu", x),
    "celu": lambda b, x: b.op("Celu", x),
    "position": lambda b, x: b.op("Add", x, b.const(b.normal(C, H, W))),
    "centred": _centred,
    "tokens": _tokens,
    "dynamic": _dynamic_reshape,
    "argmax": _argmax,
    "half": _half,
    "if": _if,
    "flip": lambda b, x: b.op("Slice", x, b.ints(-1), b.ints(-(2**31)), b.ints(3), b.ints(-1)),
}  # fmt: skip
TWO: dict[str, Callable[[Builder, str, str], str]] = {
    "add": lambda b, x, y: b.op("Add", x, y),
    "mul": lambda b, x, y: b.op("Mul", x, b.op("Sigmoid", y)),
    "max": lambda b, x, y: b.op("Max", x, y),
    "where": lambda b, x, y: b.op("Where", b.op("Less", x, y), x, b.op("Neg", y)),
    "halves": lambda b, x, y: b.op("Concat", *(_half_of(b, v) for v in (x, y)), axis=1),
}  # fmt: skip
# An output that is no map.
LAST: dict[str, Callable[[Builder, str], str]] = {
    "flatten": lambda b, x: b.op("Flatten", x),
    "mean": lambda b, x: b.op("ReduceMean", x, b.ints(2, 3), keepdims=0),
    "transposed": lambda b, x: b.op("Transpose", x, perm=[0, 2, 3, 1]),
    "shape": lambda b, x: b.op("Shape", x),
    "best": lambda b, x: b.op("ArgMax", x, axis=1, keepdims=0),
    "constant": lambda b, x: b.const(b.normal(3)),
}


def random_graph(seed: int, steps: int) -> onnx.ModelProto:
    """A graph of so many operators; 1 to 3 outputs, batch size free."""
    b = Builder((C, H, W), seed=seed)
    maps = ["x"]
    for _ in range(steps):
        recent = [*maps[-3:], "x"]
        x, y = (str(b.rng.choice(recent)) for _ in range(2))
        if b.rng.random() < 0.3:
            maps.append(TWO[str(b.rng.choice(list(TWO)))](b, x, y))
        else:
            names = [*ONE, "conv", *["binary"] * 4]  # more of what makes a native part worth it
            maps.append(ONE[str(b.rng.choice(names))](b, x))
    outputs = {maps[-1]}
    for _ in range(int(b.rng.integers(0, 3))):
        source = str(b.rng.choice(maps[1:]))
        outputs.add(source if b.rng.random() < 0.5 else LAST[str(b.rng.choice(list(LAST)))](b, source))
    model = b.model(*sorted(outputs))
    for info in model.graph.output:
        info.ClearField("type")
    return model
