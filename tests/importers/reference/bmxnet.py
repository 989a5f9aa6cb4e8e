"""Runs an MXNet symbol with its parameters in numpy, operator by operator, as MXNet and BMXNet describe them."""

from __future__ import annotations

import ast
import json
import math
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = ["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8"]
Attrs = dict[str, Any]


def params(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file in MXNet's oldest layout, in V1 and V2."""
    raw = path.read_bytes()
    at = 24
    arrays = []
    for _ in range(struct.unpack_from("<Q", raw, 16)[0]):
        (mark,) = struct.unpack_from("<I", raw, at)
        if mark in (0xF993FAC8, 0xF993FAC9):
            at += 4 if mark == 0xF993FAC8 else 8
            (rank,) = struct.unpack_from("<I", raw, at)
            shape = struct.unpack_from(f"<{rank}q", raw, at + 4)
            at += 4 + 8 * rank
        else:
            shape = struct.unpack_from(f"<{mark}I", raw, at + 4)
            at += 4 + 4 * mark
        dtype = np.dtype(DTYPES[struct.unpack_from("<i", raw, at + 8)[0]])
        size = math.prod(shape)
        arrays.append(np.frombuffer(raw, dtype, size, at + 12).reshape(shape))
        at += 12 + size * dtype.itemsize
    at += 8
    result = {}
    for array in arrays:
        (length,) = struct.unpack_from("<Q", raw, at)
        result[raw[at + 8 : at + 8 + length].decode()[4:]] = array
        at += 8 + length
    return result


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


class Evaluator:
    """`Evaluator(symbol, params)(x)` is the list of outputs; `logits=True` leaves a SoftmaxOutput out."""

    def __init__(self, symbol: Path, parameters: Path, *, logits: bool = True) -> None:
        self.graph = json.loads(symbol.read_text())
        self.params = params(parameters)
        self.logits = logits

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        waiting = list(inputs)
        values: list[list[Any]] = []
        for node in self.graph["nodes"]:
            if node["op"] == "null":
                name = node["name"]
                given = self.params[name] if name in self.params else waiting.pop(0) if waiting else None
                values.append([given])
                continue
            attrs = {k: _value(v) for key in ("attr", "attrs", "param") for k, v in node.get(key, {}).items()}
            args = [values[entry[0]][entry[1]] for entry in node["inputs"]]
            found = self.run(node["op"], attrs, args)
            values.append(found if isinstance(found, list) else [found])
        return [values[head[0]][head[1]] for head in self.graph["heads"]]

    def run(self, op: str, a: Attrs, x: list[Any]) -> Any:
        if op == "SoftmaxOutput":
            axis = 1 if not a.get("preserve_shape") else -1
            return x[0] if self.logits else softmax(x[0], axis)
        return OPS[op](a, *x)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def windows(x: np.ndarray, kernel: Any, stride: Any, dilate: Any) -> np.ndarray:
    """[N, C, *out, *kernel]."""
    rank = len(kernel)
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilate, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, extent, tuple(range(2, 2 + rank)))
    for i in range(rank):
        view = view[(slice(None),) * (2 + i) + (slice(None, None, stride[i]),)]
        view = view[(slice(None),) * (2 + rank + i) + (slice(None, None, dilate[i]),)]
    return view


def sizes(a: Attrs, name: str, rank: int, default: int) -> tuple[int, ...]:
    found = a.get(name) or (default,) * rank
    return tuple(found) if isinstance(found, tuple | list) else (found,)


def correlate(x: np.ndarray, w: np.ndarray, a: Attrs) -> np.ndarray:
    """A grouped convolution of an already padded map."""
    rank = w.ndim - 2
    view = windows(x, w.shape[2:], sizes(a, "stride", rank, 1), sizes(a, "dilate", rank, 1))
    group = a.get("num_group", 1)
    parts = []
    for g in range(group):
        c, o = x.shape[1] // group, w.shape[0] // group
        taps = [-1 - i for i in reversed(range(rank))]
        parts.append(
            np.tensordot(view[:, g * c : (g + 1) * c], w[g * o : (g + 1) * o], ([1, *taps], [1, *range(2, 2 + rank)]))
        )
    return np.moveaxis(np.concatenate(parts, -1), -1, 1)


def zero_pad(x: np.ndarray, pad: Any, value: float = 0.0) -> np.ndarray:
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)], constant_values=value)


def convolution(a: Attrs, x: np.ndarray, w: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    rank = w.ndim - 2
    y = correlate(zero_pad(x, sizes(a, "pad", rank, 0)), w, a)
    return y + bias[0].reshape(-1, *[1] * rank) if bias and not a.get("no_bias", False) else y


def deconvolution(a: Attrs, x: np.ndarray, w: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    rank, group = w.ndim - 2, a.get("num_group", 1)
    stride, pad, adj = sizes(a, "stride", rank, 1), sizes(a, "pad", rank, 0), sizes(a, "adj", rank, 0)
    dilate = sizes(a, "dilate", rank, 1)
    full = [(n - 1) * s + d * (k - 1) + 1 + j for n, s, d, k, j in
            zip(x.shape[2:], stride, dilate, w.shape[2:], adj, strict=True)]  # fmt: skip
    y = np.zeros((x.shape[0], w.shape[1] * group, *full))
    c, o = x.shape[1] // group, w.shape[1]
    for g, at in product(range(group), np.ndindex(*x.shape[2:])):
        patch = np.tensordot(x[(slice(None), slice(g * c, (g + 1) * c), *at)], w[g * c : (g + 1) * c], (1, 0))
        where = tuple(slice(i * s, i * s + d * (k - 1) + 1, d) for i, s, d, k in
                      zip(at, stride, dilate, w.shape[2:], strict=True))  # fmt: skip
        y[(slice(None), slice(g * o, (g + 1) * o), *where)] += patch
    y = y[(..., *(slice(p, n - p) for p, n in zip(pad, full, strict=True)))]
    return y + bias[0].reshape(-1, *[1] * rank) if bias and not a.get("no_bias", True) else y


def sign(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, 1.0, -1.0)


def levels(x: np.ndarray, bits: int) -> np.ndarray:
    n = np.float32(2**bits - 1)
    return np.floor(np.clip(x.astype(np.float32), 0, 1) * n + np.float32(0.5)) / n


def q_input(x: np.ndarray, bits: int) -> np.ndarray:
    return sign(x) if bits == 1 else levels(x, bits) if bits < 32 else x


def q_weight(w: np.ndarray, bits: int) -> np.ndarray:
    if bits == 1:
        return sign(w)
    t = np.tanh(w.astype(np.float64))
    return w if bits == 32 else 2 * levels(t / (2 * np.abs(t).max()) + 0.5, bits) - 1


def words(w: np.ndarray) -> np.ndarray:
    """Bits of each word, the lowest first: [words, bits]."""
    size = w.dtype.itemsize * 8
    numbers = w.reshape(-1).view(f"<u{size // 8}")
    return np.array([[int(n) >> i & 1 for i in range(size)] for n in numbers], np.int8)


def qconvolution(a: Attrs, x: np.ndarray, w: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    act, bits, rank = a.get("act_bit", 1), a.get("weight_bit", 1), len(a["kernel"])
    if w.ndim == 1:
        signs = words(w).reshape(a["num_filter"], -1, *a["kernel"]) * 2.0 - 1
        assert a["binarized_weights_only"] is True
    else:
        signs = q_weight(w, bits)
    y = correlate(q_input(zero_pad(x, sizes(a, "pad", rank, 0)), act), signs, a)
    if act == bits == 1:
        y = (math.prod(signs.shape[1:]) + y) / 2
    if not a.get("no_bias", True):
        y = y + bias[0].reshape(-1, *[1] * rank)
    return y * np.abs(w).mean() if a.get("scaling_mode") == "forward" and act == bits == 1 else y


def qfully_connected(a: Attrs, x: np.ndarray, w: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    act, bits, outputs = a.get("act_bit", 1), a.get("weight_bit", 1), a["num_hidden"]
    x = x.reshape(len(x), -1)
    if w.ndim == 1:
        columns = words(w).reshape(-1, outputs, w.dtype.itemsize * 8)
        signs = np.concatenate(list(columns), axis=1) * 2.0 - 1
    else:
        signs = q_weight(w, bits)
    y = q_input(x, act) @ signs.T
    if act == bits == 1:
        y = (x.shape[1] + y) / 2
    return y if a.get("no_bias", True) else y + bias[0]


def qactivation(a: Attrs, x: np.ndarray) -> np.ndarray:
    return x if a.get("backward_only") else q_input(x, a.get("act_bit", 1))


def fully_connected(a: Attrs, x: np.ndarray, w: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    x = x.reshape(len(x), -1) if a.get("flatten", True) else x
    return x @ w.T + (0 if a.get("no_bias") else bias[0])


def batch_norm(a: Attrs, x: np.ndarray, gamma: Any, beta: Any, mean: Any, var: Any) -> np.ndarray:
    gamma = np.ones_like(gamma) if a.get("fix_gamma", True) else gamma
    shape = (-1, *[1] * (x.ndim - 2))
    scale = gamma / np.sqrt(var + np.float32(a.get("eps", 1e-3)))
    return x * scale.reshape(shape) + (beta - mean * scale).reshape(shape)


def pooling(a: Attrs, x: np.ndarray) -> np.ndarray:
    kind = a.get("pool_type", "max")
    if a.get("global_pool"):
        axes = tuple(range(2, x.ndim))
        return {"max": np.max, "avg": np.mean, "sum": np.sum}[kind](x, axis=axes, keepdims=True)
    kernel = a["kernel"]
    rank = len(kernel)
    stride, pad = sizes(a, "stride", rank, 1), sizes(a, "pad", rank, 0)
    up = math.ceil if a.get("pooling_convention") == "full" else math.floor
    out = [up((n + 2 * p - k) / s) + 1 for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True)]
    y = np.zeros((*x.shape[:2], *out))
    for at in np.ndindex(*out):
        start = [i * s - p for i, s, p in zip(at, stride, pad, strict=True)]
        stop = [min(b + k, n + p) for b, k, n, p in zip(start, kernel, x.shape[2:], pad, strict=True)]
        area = math.prod(e - b for b, e in zip(start, stop, strict=True))
        box = tuple(slice(max(b, 0), min(e, n)) for b, e, n in zip(start, stop, x.shape[2:], strict=True))
        patch = x[(slice(None), slice(None), *box)].reshape(*x.shape[:2], -1)
        if not a.get("count_include_pad", True):
            area = patch.shape[-1]
        y[(slice(None), slice(None), *at)] = (
            patch.max(-1) if kind == "max" else patch.sum(-1) / (area if kind == "avg" else 1)
        )
    return y


def leaky(a: Attrs, x: np.ndarray, *gamma: np.ndarray) -> np.ndarray:
    kind, slope = a.get("act_type", "leaky"), a.get("slope", 0.25)
    negative = np.minimum(x, 0)
    if kind == "prelu":
        return np.maximum(x, 0) + negative * gamma[0].reshape(-1, *[1] * (x.ndim - 2))
    if kind == "rrelu":
        slope = (a.get("lower_bound", 0.125) + a.get("upper_bound", 0.334)) / 2
    if kind == "elu":
        return np.maximum(x, 0) + slope * np.expm1(negative)
    if kind == "selu":
        return 1.0507009873554805 * (np.maximum(x, 0) + 1.6732632423543772 * np.expm1(negative))
    if kind == "gelu":
        return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
    return np.maximum(x, 0) + slope * negative


def reshape(a: Attrs, x: np.ndarray) -> np.ndarray:
    out: list[int] = []
    rest, spec = list(x.shape), list(a["shape"])
    while spec:
        code = spec.pop(0)
        if code == -2:
            out, rest = out + rest, []
        elif code == -3:
            out.append(rest.pop(0) * rest.pop(0))
        elif code == -4:
            whole, first, second = rest.pop(0), spec.pop(0), spec.pop(0)
            out += [whole // second if first < 0 else first, whole // first if second < 0 else second]
        else:
            size = rest.pop(0) if rest else 0
            out.append(size if code == 0 else code)
    return x.reshape(out)


def reduction(how: Callable[..., Any]) -> Callable[..., Any]:
    def run(a: Attrs, x: np.ndarray) -> Any:
        axes = a["axis"] if isinstance(a["axis"], tuple) else (a["axis"],)
        if a.get("exclude"):
            axes = tuple(i for i in range(x.ndim) if i not in axes)
        return how(x, axis=axes, keepdims=bool(a.get("keepdims", False)))

    return run


def pad(a: Attrs, x: np.ndarray) -> np.ndarray:
    pairs = np.array(a["pad_width"]).reshape(-1, 2)
    extra = {"constant_values": a.get("constant_value", 0)} if a["mode"] == "constant" else {}
    return np.pad(x, pairs, mode=a["mode"], **extra)


def slice_axis(a: Attrs, x: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.moveaxis(x, a["axis"], 0)[a["begin"] : a["end"]], 0, a["axis"])


def slice_channel(a: Attrs, x: np.ndarray) -> list[np.ndarray]:
    axis = a.get("axis", 1)
    pieces = np.split(x, a["num_outputs"], axis)
    return [p.squeeze(axis) for p in pieces] if a.get("squeeze_axis") else pieces


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softrelu": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
}
OPS: dict[str, Callable[..., Any]] = {
    "QConvolution": qconvolution,
    "QFullyConnected": qfully_connected,
    "QActivation": qactivation,
    "Convolution": convolution,
    "Deconvolution": deconvolution,
    "FullyConnected": fully_connected,
    "BatchNorm": batch_norm,
    "Pooling": pooling,
    "LeakyReLU": leaky,
    "Activation": lambda a, x: ACTIVATIONS[a["act_type"]](x),
    "Flatten": lambda a, x: x.reshape(len(x), -1),
    "Reshape": reshape,
    "Concat": lambda a, *x: np.concatenate(x, a.get("dim", 1)),
    "Pad": pad,
    "transpose": lambda a, x: x.transpose(a["axes"]),
    "SwapAxis": lambda a, x: x.swapaxes(a["dim1"], a["dim2"]),
    "expand_dims": lambda a, x: np.expand_dims(x, a["axis"]),
    "squeeze": lambda a, x: x.squeeze(a["axis"]),
    "slice_axis": slice_axis,
    "SliceChannel": slice_channel,
    "UpSampling": lambda a, x: x.repeat(a["scale"], 2).repeat(a["scale"], 3),
    "mean": reduction(np.mean),
    "sum": reduction(np.sum),
    "max": reduction(np.max),
    "min": reduction(np.min),
    "clip": lambda a, x: np.clip(x, a["a_min"], a["a_max"]),
    "hard_sigmoid": lambda a, x: np.clip(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0, 1),
    "softmax": lambda a, x: softmax(x, a.get("axis", -1)),
    "log_softmax": lambda a, x: np.log(softmax(x, a.get("axis", -1))),
    "SoftmaxActivation": lambda a, x: softmax(x, 1),
    "LogisticRegressionOutput": lambda a, x, *label: ACTIVATIONS["sigmoid"](x),
    "LinearRegressionOutput": lambda a, x, *label: x,
    "square": lambda a, x: x * x,
    "exp": lambda a, x: np.exp(x),
    "sqrt": lambda a, x: np.sqrt(x),
    "abs": lambda a, x: np.abs(x),
    "negative": lambda a, x: -x,
    "relu": lambda a, x: np.maximum(x, 0),
    "elemwise_add": lambda a, x, y: x + y,
    "_Plus": lambda a, x, y: x + y,
    "broadcast_add": lambda a, x, y: x + y,
    "broadcast_sub": lambda a, x, y: x - y,
    "broadcast_mul": lambda a, x, y: x * y,
    "broadcast_div": lambda a, x, y: x / y,
    "_maximum": lambda a, x, y: np.maximum(x, y),
    "_minimum": lambda a, x, y: np.minimum(x, y),
    "add_n": lambda a, *x: sum(x[1:], x[0]),
    "_plus_scalar": lambda a, x: x + a["scalar"],
    "_minus_scalar": lambda a, x: x - a["scalar"],
    "_rminus_scalar": lambda a, x: a["scalar"] - x,
    "_mul_scalar": lambda a, x: x * a["scalar"],
    "_div_scalar": lambda a, x: x / a["scalar"],
    "_rdiv_scalar": lambda a, x: a["scalar"] / x,
    "_power_scalar": lambda a, x: x ** a["scalar"],
    "_maximum_scalar": lambda a, x: np.maximum(x, a["scalar"]),
    "_minimum_scalar": lambda a, x: np.minimum(x, a["scalar"]),
    "Dropout": lambda a, x: x,
    "identity": lambda a, x: x,
    "BlockGrad": lambda a, x: x,
    "Cast": lambda a, x: x,
}
