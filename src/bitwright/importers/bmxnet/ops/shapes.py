"""Operators that move, cut, join or reduce: Flatten, Reshape, Concat, Pad, slices, transposition, means."""

from __future__ import annotations

import math

import numpy as np

from ..call import Call, converts
from ..unsupported import Unsupported


def _ints(call: Call, values: list[int], hint: str) -> str:
    return call.build.constant(np.array(values, np.int64), f"{call.name}.{hint}")


def _axis(call: Call, x: str, axis: int, what: str = "axis") -> int:
    """An axis counted from the front; the batch is refused."""
    rank = len(call.sample(x)) + 1
    positive = axis + rank if axis < 0 else axis
    if not 0 < positive < rank:
        raise Unsupported(f"its {what} {axis} is the batch or out of range for its input {call.text(call.sample(x))}")
    return positive


@converts("Flatten", "flatten")
def flatten(call: Call) -> str:
    """[N, features]."""
    return call.onnx("Flatten", [call.tensor(0)], name=call.name)


@converts("Reshape", "reshape")
def reshape(call: Call) -> str:
    """Reshape with MXNet's codes: 0 keeps a size, -1 infers one, -2 keeps the rest, -3 merges two, -4 splits one."""
    x = call.tensor(0)
    sample = call.sample(x)
    if call.attrs.flag("reverse", False):
        raise Unsupported("it reshapes from the right (reverse); only from the left can be imported")
    spec = call.attrs.integers("shape", ()) or call.attrs.integers("target_shape")
    result = _reshaped(list(spec), list(sample))
    if result is None:
        raise Unsupported(f"its shape {spec} does not fit its input {call.text(sample)}, or changes the batch")
    return call.onnx("Reshape", [x, _ints(call, [0, *result], "shape")], name=call.name)


def _reshaped(spec: list[int], sample: list[int]) -> list[int] | None:
    """The new sizes behind the batch; None where the batch would not stay alone in front."""
    if not spec or spec[0] not in (0, -1) or (spec[0] == -1 and -1 in spec[1:]):
        return None
    rest, result, unknown = list(sample), [], -1
    at = 1
    while at < len(spec):
        code = spec[at]
        at += 1
        if code > 0:
            result.append(code)
            rest = rest[1:]
        elif code == 0 and rest:
            result.append(rest.pop(0))
        elif code == -1 and unknown < 0:
            unknown = len(result)
            result.append(1)
            rest = rest[1:]
        elif code == -2:
            result += rest
            rest = []
        elif code == -3 and len(rest) > 1:
            result.append(rest.pop(0) * rest.pop(0))
        elif code == -4 and rest and at + 1 < len(spec):
            pair, size = spec[at : at + 2], rest.pop(0)
            at += 2
            if min(pair) < -1 or 0 in pair or pair == [-1, -1]:
                return None
            known = pair[1] if pair[0] == -1 else pair[0]
            pair = [size // known if p == -1 else p for p in pair]
            if math.prod(pair) != size:
                return None
            result += pair
        else:
            return None
    total, given = math.prod(sample), math.prod(result)
    if unknown >= 0:
        if given == 0 or total % given:
            return None
        result[unknown], given = total // given, total
    return result if given == total and result else None


@converts("Concat", "concat")
def concat(call: Call) -> str:
    """Joins tensors along an axis, the channels by default."""
    tensors = [call.tensor(i) for i in range(call.count)]
    axis = _axis(call, tensors[0], call.attrs.integer("dim", 1), "dim")
    first = call.sample(tensors[0])
    for other in map(call.sample, tensors[1:]):
        if len(other) != len(first) or other[: axis - 1] + other[axis:] != first[: axis - 1] + first[axis:]:
            raise Unsupported(f"its inputs {call.text(first)} and {call.text(other)} differ in more than axis {axis}")
    return call.onnx("Concat", tensors, name=call.name, axis=axis)


@converts("Pad", "pad")
def pad(call: Call) -> str:
    """constant, edge or reflect; pad_width has (before, after) of every axis."""
    x = call.tensor(0)
    rank = len(call.sample(x)) + 1
    widths = call.attrs.integers("pad_width")
    if len(widths) != 2 * rank or min(widths) < 0 or widths[0] or widths[1]:
        raise Unsupported(f"its pad_width is {widths}; it must have {2 * rank} sizes from 0, and 0 for the batch")
    mode = call.attrs.text("mode", None, ("constant", "edge", "reflect"))
    inputs = [x, _ints(call, [*widths[0::2], *widths[1::2]], "pads")]
    if mode == "constant":
        inputs.append(call.scalar(call.attrs.number("constant_value", 0.0)))
    return call.onnx("Pad", inputs, name=call.name, mode=mode)


@converts("transpose")
def transpose(call: Call) -> str:
    """Transpose that leaves the batch in front."""
    x = call.tensor(0)
    rank = len(call.sample(x)) + 1
    axes = call.attrs.integers("axes", ()) or tuple(reversed(range(rank)))
    if sorted(axes) != list(range(rank)) or axes[0] != 0:
        raise Unsupported(f"its axes {axes} are no order of the {rank} axes that leaves the batch in front")
    return call.onnx("Transpose", [x], name=call.name, perm=axes)


@converts("SwapAxis", "swapaxes")
def swap_axis(call: Call) -> str:
    """Exchanges two axes."""
    x = call.tensor(0)
    a, b = (_axis(call, x, call.attrs.integer(name, 0), name) for name in ("dim1", "dim2"))
    axes = list(range(len(call.sample(x)) + 1))
    axes[a], axes[b] = axes[b], axes[a]
    return call.onnx("Transpose", [x], name=call.name, perm=axes)


@converts("expand_dims")
def expand_dims(call: Call) -> str:
    """A new axis of size 1."""
    x, axis = call.tensor(0), call.attrs.integer("axis")
    rank = len(call.sample(x)) + 2
    positive = axis + rank if axis < 0 else axis
    if not 0 < positive < rank:
        raise Unsupported(f"its axis {axis} is in front of the batch or out of range")
    return call.onnx("Unsqueeze", [x, _ints(call, [positive], "axes")], name=call.name)


@converts("squeeze")
def squeeze(call: Call) -> str:
    """Drops axes of size 1; without `axis` all of them, but not the batch."""
    x = call.tensor(0)
    sample = call.sample(x)
    chosen = [_axis(call, x, a) for a in call.attrs.integers("axis", ())]
    chosen = chosen or [i + 1 for i, size in enumerate(sample) if size == 1]
    if any(sample[a - 1] != 1 for a in chosen):
        raise Unsupported(f"its axes {chosen} of {call.text(sample)} do not all have size 1")
    return call.onnx("Squeeze", [x, _ints(call, chosen, "axes")], name=call.name) if chosen else x


@converts("slice_axis")
def slice_axis(call: Call) -> str:
    """Elements begin to end of an axis."""
    x = call.tensor(0)
    axis = _axis(call, x, call.attrs.integer("axis"))
    size = call.sample(x)[axis - 1]
    begin, end, _ = slice(call.attrs.integer("begin"), call.attrs.integer("end", size)).indices(size)
    if begin >= end:
        raise Unsupported(f"it takes elements {begin} to {end} of {size}: none")
    ends = [_ints(call, [v], "at") for v in (begin, end, axis)]
    return call.onnx("Slice", [x, *ends], name=call.name)


@converts("SliceChannel", "split")
def slice_channel(call: Call) -> list[str]:
    """Equal pieces of an axis."""
    x, count = call.tensor(0), call.attrs.integer("num_outputs", None, 1)
    axis = _axis(call, x, call.attrs.integer("axis", 1))
    size = call.sample(x)[axis - 1]
    if size % count:
        raise Unsupported(f"axis {axis} has {size} elements, which do not divide into {count} equal pieces")
    pieces = call.build.nodes(
        "Split", [x, _ints(call, [size // count] * count, "sizes")], count, name=call.name, axis=axis
    )
    if call.attrs.flag("squeeze_axis", False):
        if size != count:
            raise Unsupported(f"its pieces have {size // count} elements of axis {axis}; squeeze_axis needs 1")
        return [call.onnx("Squeeze", [piece, _ints(call, [axis], "axes")]) for piece in pieces]
    return pieces


@converts("UpSampling")
def upsampling(call: Call) -> str:
    """Repeats every pixel `scale` times (nearest)."""
    x = call.tensor(0)
    call.attrs.text("sample_type", None, ("nearest",))
    if call.count != 1:
        raise Unsupported(f"it joins {call.count} inputs; only one can be imported")
    call.spatial(x, 2)
    scale = float(call.attrs.integer("scale", None, 1))
    scales = call.build.constant(np.array([1, 1, scale, scale], np.float32), f"{call.name}.scales")
    return call.onnx(
        "Resize", [x, "", scales], name=call.name, mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip


@converts("mean", "sum", "max", "min", "sum_axis", "max_axis", "min_axis")
def reduce(call: Call) -> str:
    """A reduction over axes other than the batch."""
    x = call.tensor(0)
    rank = len(call.sample(x)) + 1
    axes = [a + rank if a < 0 else a for a in call.attrs.integers("axis", ())]
    if call.attrs.flag("exclude", False):
        axes = [a for a in range(rank) if a not in axes]
    if not axes or not all(0 < a < rank for a in axes):
        raise Unsupported(f"it reduces over the axes {axes or 'all'}; the batch must be none of them")
    op = "Reduce" + call.node.op.removesuffix("_axis").capitalize()
    keep = int(call.attrs.flag("keepdims", False))
    return call.onnx(op, [x, _ints(call, axes, "axes")], name=call.name, keepdims=keep)
