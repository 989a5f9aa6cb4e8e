"""Pooling with MXNet's two conventions.

`valid` rounds the output size down, `full` up: then the last windows reach beyond the padding. What lies there is not
counted: a maximum ignores it, and an average divides by the elements inside the padded map (`count_include_pad`) or
inside the map.
"""

from __future__ import annotations

import math

import numpy as np

from ..call import Call, converts
from ..unsupported import Unsupported

Sizes = tuple[int, ...]


@converts("Pooling", "Pooling_v1")
def pooling(call: Call) -> str:
    """MaxPool, AveragePool, their global forms, and sums."""
    x = call.tensor(0)
    kind = call.attrs.text("pool_type", "max", ("max", "avg", "sum"))
    if call.attrs.flag("global_pool", False):
        return _global(call, x, kind)
    kernel = call.attrs.integers("kernel")
    rank = len(kernel)
    if rank not in (1, 2, 3) or min(kernel) < 1:
        raise Unsupported(f"its kernel is {kernel}; it must have 1, 2 or 3 sizes from 1")
    if call.attrs.text("layout", "NC" + "DHW"[3 - rank :]) != "NC" + "DHW"[3 - rank :]:
        raise Unsupported(f"its layout is {call.attrs.text('layout')}; only NC{'DHW'[3 - rank :]} can be imported")
    strides = call.attrs.sizes("stride", rank, 1, 1)
    pads = call.attrs.sizes("pad", rank, 0, 0)
    full = call.attrs.text("pooling_convention", "valid", ("valid", "full")) == "full"
    _, sizes = call.spatial(x, rank)
    beyond = []  # how far the last window of `full` reaches beyond the padding
    for n, k, s, p in zip(sizes, kernel, strides, pads, strict=True):
        if p >= k:
            raise Unsupported(f"its padding {pads} is as large as its kernel {kernel}: windows would be empty")
        if n + 2 * p < k:
            raise Unsupported(f"its kernel {kernel} does not fit into its input {list(sizes)} padded by {pads}")
        windows = (-(-(n + 2 * p - k) // s) if full else (n + 2 * p - k) // s) + 1
        if (windows - 1) * s >= n + p:
            raise Unsupported(f"its last window lies outside of its input {list(sizes)}")
        beyond.append(max((windows - 1) * s + k - n - 2 * p, 0))
    none = (0,) * rank
    ends = tuple(p + e for p, e in zip(pads, beyond, strict=True))
    if kind == "max":
        return call.onnx("MaxPool", [x], name=call.name, kernel_shape=kernel, strides=strides, pads=pads + ends)
    if kind == "sum":
        y = _average(call, _zeros(call, x, pads, ends), kernel, strides, none, none)
        return call.onnx("Mul", [y, call.scalar(float(math.prod(kernel)))], name=call.name)
    if not call.attrs.flag("count_include_pad", True):
        return _average(call, x, kernel, strides, pads, ends)
    if any(beyond):  # the padding counts, what lies beyond does not
        return _average(call, _zeros(call, x, pads, pads), kernel, strides, none, tuple(beyond))
    return call.onnx(
        "AveragePool", [x], name=call.name, kernel_shape=kernel, strides=strides, pads=pads * 2,
        count_include_pad=int(any(pads)),
    )  # fmt: skip


def _global(call: Call, x: str, kind: str) -> str:
    sample = call.sample(x)
    if len(sample) < 2:
        raise Unsupported(f"its input is {call.text(sample)}; it needs spatial axes")
    y = call.onnx("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", [x], name=call.name)
    return call.onnx("Mul", [y, call.scalar(float(math.prod(sample[1:])))]) if kind == "sum" else y


def _average(call: Call, x: str, kernel: Sizes, strides: Sizes, begin: Sizes, end: Sizes) -> str:
    """An average over the elements inside the map."""
    return call.onnx("AveragePool", [x], name=call.name, kernel_shape=kernel, strides=strides, pads=begin + end)


def _zeros(call: Call, x: str, begin: Sizes, end: Sizes) -> str:
    if not any(begin) and not any(end):
        return x
    pads = call.build.constant(np.array([0, 0, *begin, 0, 0, *end], np.int64), f"{call.name}.pads")
    return call.onnx("Pad", [x, pads], name=f"{call.name}.padded")
