"""A .tflite file with Larq's early operators, computed in numpy straight from the bytes.

Written from the FlatBuffers and FlexBuffers binary formats, TensorFlow Lite's schema (fields counted in its order) and
the meaning of the operators: no flatbuffers package, nothing of bitwright. Maps stay [N, H, W, C].
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
DTYPES = {0: np.float32, 2: np.int32, 4: np.int64, 9: np.int8}


class Table:
    """A FlatBuffers table at a position."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.fields = at - struct.unpack_from("<i", data, at)[0]

    def where(self, field: int) -> int:
        """Position of a field's value, 0 when it is left out."""
        size = struct.unpack_from("<H", self.data, self.fields)[0]
        offset = 4 + 2 * field
        shift = struct.unpack_from("<H", self.data, self.fields + offset)[0] if offset < size else 0
        return self.at + shift if shift else 0

    def number(self, field: int, kind: str, default: Any = 0) -> Any:
        at = self.where(field)
        return struct.unpack_from("<" + kind, self.data, at)[0] if at else default

    def target(self, field: int) -> int:
        at = self.where(field)
        return at + struct.unpack_from("<I", self.data, at)[0] if at else 0

    def table(self, field: int) -> Table:
        return Table(self.data, self.target(field))

    def tables(self, field: int) -> list[Table]:
        at = self.target(field)
        count = struct.unpack_from("<I", self.data, at)[0]
        places = [at + 4 + 4 * i for i in range(count)]
        return [Table(self.data, p + struct.unpack_from("<I", self.data, p)[0]) for p in places]

    def numbers(self, field: int, dtype: str) -> Array:
        at = self.target(field)
        if not at:
            return np.zeros(0, dtype)
        return np.frombuffer(self.data, dtype, struct.unpack_from("<I", self.data, at)[0], at + 4)


def flex_map(data: bytes) -> dict[str, int]:
    """A FlexBuffers map of integers: root type and width are the last two bytes."""
    width = data[-1]
    root = len(data) - 2 - width

    def unsigned(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little")

    inner = 1 << (data[-2] & 3)  # width of the map's entries
    values = root - unsigned(root, width)
    count = unsigned(values - inner, inner)
    key_width = unsigned(values - 2 * inner, inner)
    keys = values - 3 * inner - unsigned(values - 3 * inner, inner)
    found = {}
    for i in range(count):
        place = keys + i * key_width
        name = place - unsigned(place, key_width)
        text = data[name : data.index(b"\0", name)].decode()
        raw = data[values + i * inner : values + (i + 1) * inner]
        found[text] = int.from_bytes(raw, "little", signed=True)
    return found


def padded(x: Array, out: tuple[int, int], kernel: Any, stride: Any, value: float) -> Array:
    """TensorFlow's SAME padding for an output size: what is missing, the odd pixel behind."""
    widths = [(0, 0)]
    for n, o, k, s in zip(x.shape[1:3], out, kernel, stride, strict=True):
        total = max((o - 1) * s + k - n, 0)
        widths.append((total // 2, total - total // 2))
    return np.pad(x, [*widths, (0, 0)], constant_values=value)


def windows(x: Array, out: tuple[int, int], kernel: Any, stride: Any) -> Array:
    """[N, H', W', kh, kw, C]."""
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1]][:, : out[0], : out[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def binary_conv(x: Array, op: Table, inputs: list[Array], out: tuple[int, ...]) -> Array:
    """The early LceBconv2d: sign of a float map, popcounts as a sum of ±1, relu, multiplier, bias."""
    options = flex_map(op.numbers(5, "u1").tobytes())
    words, multiplier, bias = inputs[1].view(np.uint32), inputs[2], inputs[3]
    channels, kernel = options["channels_in"], words.shape[1:3]
    bits = words[..., None] >> np.arange(32, dtype=np.uint32) & 1
    weight = 1 - 2 * bits.reshape(*words.shape[:3], -1)[..., :channels].astype(np.float32)
    signs = np.where(x >= 0, np.float32(1), np.float32(-1))
    stride = (options["stride_height"], options["stride_width"])
    assert options["dilation_height_factor"] == options["dilation_width_factor"] == 1
    assert options["padding"] == 1, "the early form's number for SAME"
    signs = padded(signs, out[1:3], kernel, stride, options["pad_values"])
    columns = windows(signs, out[1:3], kernel, stride).reshape(*x.shape[:1], *out[1:3], -1)
    total = columns @ weight.reshape(len(weight), -1).T  # integers, exact in float32
    if options["fused_activation_function"] == 1:
        total = np.maximum(total, 0)
    return total * multiplier + bias


def conv(x: Array, weight: Array, bias: Array, options: Table, out: tuple[int, ...], *, depthwise: bool) -> Array:
    stride = (options.number(2, "i"), options.number(1, "i"))
    kernel = weight.shape[1:3]
    if options.number(0, "b") == 0:
        x = padded(x, out[1:3], kernel, stride, 0)
    view = windows(x, out[1:3], kernel, stride)
    if depthwise:
        times = weight.shape[3] // x.shape[3]
        y = np.einsum("nhwijc,ijcm->nhwcm", view, weight[0].reshape(*kernel, x.shape[3], times), optimize=True)
        y = y.reshape(*y.shape[:3], -1)
    else:
        y = view.reshape(*view.shape[:3], -1) @ weight.reshape(len(weight), -1).T
    return activated(y + bias, options.number(4 if depthwise else 3, "b"))


def pool(x: Array, options: Table, out: tuple[int, ...], reduce: Callable[..., Array]) -> Array:
    stride, kernel = (options.number(2, "i"), options.number(1, "i")), (options.number(4, "i"), options.number(3, "i"))
    if options.number(0, "b") == 0:
        x = padded(x, out[1:3], kernel, stride, np.nan)
    return activated(reduce(windows(x, out[1:3], kernel, stride), axis=(3, 4)), options.number(5, "b"))


def activated(x: Array, number: int) -> Array:
    assert number in (0, 1), f"fused activation {number}"
    return np.maximum(x, 0) if number else x


def evaluate(data: bytes, x: Array) -> Array:
    """The model's output for a batch of inputs [N, H, W, C]; every sample is computed as the file's batch of one."""
    model = Table(data, struct.unpack_from("<I", data)[0])
    codes = []
    for code in model.tables(1):
        number = max(code.number(0, "b"), code.number(3, "i"))
        codes.append(code.numbers(1, "u1").tobytes().decode() if number == 32 else number)
    (graph,), buffers = model.tables(2), model.tables(4)
    shapes, values = [], {}
    for i, tensor in enumerate(graph.tables(0)):
        shapes.append(tuple(int(n) for n in tensor.numbers(0, "<i4")))
        raw = buffers[tensor.number(2, "I")].numbers(0, "u1")
        if raw.size:
            values[i] = np.frombuffer(raw.tobytes(), DTYPES[tensor.number(1, "b")]).reshape(shapes[-1])
    values[int(graph.numbers(1, "<i4")[0])] = x
    for op in graph.tables(3):
        kind = codes[op.number(0, "I")]
        inputs = [values[int(i)] for i in op.numbers(1, "<i4") if i >= 0]
        target = int(op.numbers(2, "<i4")[0])
        options = op.table(4) if op.target(4) else None
        values[target] = compute(kind, op, inputs, options, shapes[target])
    return values[int(graph.numbers(2, "<i4")[0])]


def compute(kind: Any, op: Table, inputs: list[Array], options: Any, out: tuple[int, ...]) -> Array:
    """One node. The numbers are those of the schema's BuiltinOperator."""
    x = inputs[0]
    if kind == "LceBconv2d":
        return binary_conv(x, op, inputs, out)
    if kind in (3, 4):  # CONV_2D, DEPTHWISE_CONV_2D
        return conv(x, inputs[1], inputs[2], options, out, depthwise=kind == 4)
    if kind == 17:  # MAX_POOL_2D
        return pool(x, options, out, np.nanmax)
    if kind == 1:  # AVERAGE_POOL_2D
        return pool(x, options, out, np.nanmean)
    if kind == 0:  # ADD
        return activated(x + inputs[1], options.number(0, "b"))
    if kind == 18:  # MUL
        return activated(x * inputs[1], options.number(0, "b"))
    if kind == 2:  # CONCATENATION
        return np.concatenate(inputs, axis=options.number(0, "i"))
    if kind == 22:  # RESHAPE
        return x.reshape(len(x), *out[1:])
    if kind == 9:  # FULLY_CONNECTED
        return activated(x @ inputs[1].T + inputs[2], options.number(0, "b"))
    if kind == 25:  # SOFTMAX
        e = np.exp((x - x.max(-1, keepdims=True)) * options.number(0, "f"))
        return e / e.sum(-1, keepdims=True)
    raise NotImplementedError(f"operator {kind}")
