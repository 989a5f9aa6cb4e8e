"""BMXNet's own operators: QConvolution, QFullyConnected, QActivation.

What they compute (read in BMXNet's source): inputs of 1 bit are +1 where x >= 0 and else -1, *behind* the zero padding,
so padding is +1; weights of 1 bit the same. With 1-bit inputs and weights the result is the number of equal signs,
(dot + K) / 2, not the dot product. Inputs of k bits are round(clip(x, 0, 1) * n) / n with n = 2^k - 1, and the result
is the dot product. `scaling_mode` forward multiplies the result, bias included, by the mean of |w|.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compiler.dialect import (
    BinarizeAttrs,
    BinaryConvAttrs,
    BinaryLinearAttrs,
    DialectError,
    LevelConvAttrs,
    LevelLinearAttrs,
    NodeAttrs,
    UnpackWeightAttrs,
    pack_bits,
)

from ..call import F32, Call, converts
from ..unsupported import Unsupported
from .layers import add_bias, conv_geometry

Bools = NDArray[np.bool_]
_WORDS = {"float64": 64, "float32": 32, "uint64": 64, "uint32": 32, "int64": 64, "int32": 32}
_TIES = "BMXNet rounds halves up, here they go to the even level"


def _bits(call: Call, name: str) -> int:
    bits = call.attrs.integer(name, 1, 1)
    if bits > 32:
        raise Unsupported(f"its {name} is {bits}; BMXNet has 1 to 32")
    return bits


def _is_packed(weight: NDArray[Any]) -> bool:
    """The model converter writes one long row of words, trained files the weight's own shape."""
    return weight.ndim == 1


def _words(weight: NDArray[Any], count: int) -> tuple[NDArray[np.uint8], int]:
    """(bytes of the words, bits a word) of packed weights that hold `count` signs."""
    size = _WORDS.get(weight.dtype.name)
    if size is None:
        raise Unsupported(f"its packed weights are {weight.dtype}; known are words in {', '.join(sorted(_WORDS))}")
    if count % size or weight.size != count // size:
        raise Unsupported(
            f"its packed weights are {weight.size} words of {size} bits, but it has {count} weights "
            f"({count / size:g} words)"
        )
    return np.frombuffer(weight.tobytes(), np.uint8), size


def _conv_signs(call: Call, weight: NDArray[Any], shape: tuple[int, ...]) -> Bools:
    """True for +1; shape (filters, channels, *kernel). Packed: consecutive weights, least significant bit first."""
    if _is_packed(weight):
        raw, _ = _words(weight, math.prod(shape))
        return np.unpackbits(raw, bitorder="little").astype(np.bool_).reshape(shape)
    return _float_signs(call, weight, shape)


def _dense_signs(call: Call, weight: NDArray[Any], shape: tuple[int, int]) -> Bools:
    """True for +1; shape (outputs, features). Packed: words (features / size, outputs), a word along the features."""
    if _is_packed(weight):
        outputs, features = shape
        raw, size = _words(weight, math.prod(shape))
        if features % size:
            raise Unsupported(f"its {features} input features are no whole words of {size} bits")
        bits = np.unpackbits(raw, bitorder="little").reshape(features // size, outputs, size)
        return bits.transpose(1, 0, 2).reshape(shape).astype(np.bool_)
    return _float_signs(call, weight, shape)


def _float_signs(call: Call, weight: NDArray[Any], shape: tuple[int, ...]) -> Bools:
    data = call.floats(weight, "weight")
    if data.shape != shape:
        raise Unsupported(f"its weight has shape {list(data.shape)}, its input and attributes ask for {list(shape)}")
    result: Bools = data >= 0
    return result


def _quantized_weight(call: Call, weight: NDArray[Any], shape: tuple[int, ...], bits: int) -> F32:
    """Weights of 2 to 31 bits as BMXNet quantizes them: 2 * round_k(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1."""
    if _is_packed(weight) or weight.shape != shape:
        raise Unsupported(f"its weight has shape {list(weight.shape)}, its input and attributes ask for {list(shape)}")
    data = call.floats(weight, "weight")
    if bits == 32:
        return data
    squashed = np.tanh(data)
    peak = np.abs(squashed).max(initial=np.float32(0))
    if peak == 0:
        raise Unsupported("its weights are all 0; their quantization is not defined")
    levels = np.float32(2.0**bits - 1)
    y = levels * (squashed / (np.float32(2) * peak) + np.float32(0.5))
    rounded = np.floor(y.astype(np.float64) + 0.5).astype(np.float32)  # halves up, as roundf for y >= 0
    return (np.float32(2) * (rounded / levels) - np.float32(1)).astype(np.float32)


def _scaling(call: Call, weight: NDArray[Any]) -> np.float32 | None:
    """The mean of |w| where the layer multiplies by it (only with 1-bit inputs and weights)."""
    if call.attrs.text("scaling_mode", "none", ("none", "forward", "backward")) != "forward":
        return None
    if _is_packed(weight):
        raise Unsupported("its scaling_mode is forward, but its weights are packed: their mean |w| is lost")
    return np.float32(np.abs(call.floats(weight, "weight")).astype(np.float64).mean())


def _finish(call: Call, tensor: str, outputs: int, rank: int, scale: np.float32 | None) -> str:
    """The bias, if there is one, then the scaling."""
    if not call.attrs.flag("no_bias", True):
        tensor = add_bias(call, tensor, 2, outputs, rank)
    if scale is not None:
        tensor = call.onnx("Mul", [tensor, call.scalar(float(scale))], name=f"{call.name}.scaling")
    return tensor


def _layer(call: Call, attrs: NodeAttrs, x: str, signs: Bools, steps: Sequence[F32]) -> str:
    """A dialect layer on packed weights; `steps` are its inputs behind the weights."""
    weight = call.build.constant(pack_bits(signs), f"{call.name}.weight")
    constants = [call.build.constant(step, f"{call.name}.constant") for step in steps]
    return call.build.dialect(attrs, [x, weight, *constants], name=call.name)


def _count_steps(outputs: int, terms: int) -> list[F32]:
    """threshold, scale, bias of (dot + K) / 2: exact in float32, since K is far below 2^23."""
    if terms >= 1 << 23:
        raise Unsupported(f"its outputs sum {terms} products; float32 cannot count as far")
    half = np.full(outputs, 0.5, np.float32)
    return [np.zeros(1, np.float32), half, np.full(outputs, terms / 2, np.float32)]


def _level_steps(outputs: int, levels: int) -> list[F32]:
    """gain, offset, scale, bias of a dot product with levels u / n."""
    one = np.ones(1, np.float32)
    return [one * np.float32(levels), 0 * one, np.full(outputs, 1 / levels, np.float32), np.zeros(outputs, np.float32)]


def _made(call: Call, make: Any, *args: Any, **kwargs: Any) -> Any:
    """Attributes of a dialect node; what it does not allow is a problem of this node."""
    try:
        return make(*args, **kwargs)
    except DialectError as error:
        raise Unsupported(str(error)) from error


@converts("QConvolution", "QConvolution_v1")
def qconvolution(call: Call) -> str:
    """BinaryConv with the count of equal signs, LevelConv, or a float convolution with quantized weights."""
    x = call.tensor(0)
    kernel, strides, dilations, pads, group, filters = conv_geometry(call)
    channels, _ = call.spatial(x, len(kernel))
    if channels % group or filters % group:
        raise Unsupported(f"its {channels} channels and {filters} filters are no multiples of {group} groups")
    act, bits = _bits(call, "act_bit"), _bits(call, "weight_bit")
    weight = call.param(1, "weight")
    shape = (filters, channels // group, *kernel)
    size = "x".join(map(str, kernel))
    became = f"{size}, {channels} -> {filters}"
    stored = f"{_WORDS.get(weight.dtype.name, 0)}-bit words" if _is_packed(weight) else "float weights"
    was = f"QConvolution {act}-bit inputs, {bits}-bit weights ({stored})"
    scale = None
    if bits == 1 and act <= 8:
        signs = np.moveaxis(_conv_signs(call, weight, shape), 1, -1).reshape(filters, math.prod(kernel), -1)
        common: dict[str, Any] = {
            "kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": pads * 2,
            "group": group, "channels": channels // group, "pad_mode": "constant",
        }  # fmt: skip
        if act == 1:
            attrs = _made(call, BinaryConvAttrs, **common, low=-1.0, pad_value=1.0)
            y = _layer(call, attrs, x, signs, _count_steps(filters, math.prod(shape[1:])))
            scale = _scaling(call, weight)
            call.found(was, f"BinaryConv {became}", "counts equal signs; padding is +1")
        else:
            attrs = _made(call, LevelConvAttrs, **common, bits=act)
            y = _layer(call, attrs, x, signs, _level_steps(filters, 2**act - 1))
            call.found(was, f"LevelConv {became}, {2**act} levels", _TIES)
    else:
        x = _quantize(call, x, act)
        if act == 1 and any(pads):  # padding is binarized too
            around = call.build.constant(np.array([0, 0, *pads] * 2, np.int64), f"{call.name}.pads")
            x = call.onnx("Pad", [x, around, call.scalar(1)], name=f"{call.name}.padded")
            pads = (0,) * len(kernel)
        if bits == 1:
            signs = np.moveaxis(_conv_signs(call, weight, shape), 1, -1).reshape(filters, math.prod(kernel), -1)
            packed = call.build.constant(pack_bits(signs), f"{call.name}.weight")
            w = call.build.dialect(_made(call, UnpackWeightAttrs, shape), [packed], name=f"{call.name}.unpack")
        else:
            w = call.build.constant(_quantized_weight(call, weight, shape, bits), f"{call.name}.weight")
        y = call.onnx(
            "Conv", [x, w], name=call.name, kernel_shape=kernel, strides=strides, dilations=dilations,
            pads=pads * 2, group=group,
        )  # fmt: skip
        call.found(was, f"Conv {became}")
    return _finish(call, y, filters, len(kernel), scale)


@converts("QFullyConnected")
def qfully_connected(call: Call) -> str:
    """BinaryLinear with the count of equal signs, LevelLinear, or a float layer with quantized weights."""
    x = call.flat(call.tensor(0))
    features = call.features(x)
    outputs = call.attrs.integer("num_hidden", None, 1)
    act, bits = _bits(call, "act_bit"), _bits(call, "weight_bit")
    weight = call.param(1, "weight")
    shape = (outputs, features)
    stored = f"{_WORDS.get(weight.dtype.name, 0)}-bit words" if _is_packed(weight) else "float weights"
    was = f"QFullyConnected {act}-bit inputs, {bits}-bit weights ({stored})"
    if bits == 1 and act <= 8:
        signs = _dense_signs(call, weight, shape)
        if act == 1:
            linear = _made(call, BinaryLinearAttrs, features, -1.0)
            y = _layer(call, linear, x, signs, _count_steps(outputs, features))
            call.found(was, f"BinaryLinear {features} -> {outputs}", "counts equal signs")
        else:
            y = _layer(call, _made(call, LevelLinearAttrs, features, act), x, signs, _level_steps(outputs, 2**act - 1))
            call.found(was, f"LevelLinear {features} -> {outputs}, {2**act} levels", _TIES)
        return _finish(call, y, outputs, 0, None)
    x = _quantize(call, x, act)
    if bits == 1:
        floats = np.where(_dense_signs(call, weight, shape), np.float32(1), np.float32(-1))
    else:
        floats = _quantized_weight(call, weight, shape, bits)
    y = call.onnx("MatMul", [x, call.build.constant(floats.T, f"{call.name}.weight")], name=call.name)
    call.found(was, f"MatMul {features} -> {outputs}")
    return _finish(call, y, outputs, 0, None)


@converts("QActivation")
def qactivation(call: Call) -> str:
    """Binarize or k-bit levels; `backward_only` leaves the forward pass to the layer behind."""
    x = call.tensor(0)
    act = _bits(call, "act_bit")
    if call.attrs.flag("backward_only", False):
        return x  # the layers behind it quantize their inputs, and say so
    if act == 1:
        call.found("QActivation 1-bit", "Binarize")
        return _signs(call, x)
    call.found(f"QActivation {act}-bit", f"{2**act} levels" if act < 32 else "nothing", _TIES)
    return _quantize(call, x, act)


def _signs(call: Call, x: str) -> str:
    zero = call.build.constant(np.zeros(1, np.float32), f"{call.name}.threshold")
    return call.build.dialect(BinarizeAttrs(-1.0, 1), [x, zero], name=f"{call.name}.signs")


def _quantize(call: Call, x: str, bits: int) -> str:
    """±1, or round(clip(x, 0, 1) * n) / n; of up to 8 bits as a LevelConv that passes every level through."""
    if bits == 32:
        return x
    if bits == 1:
        return _signs(call, x)
    levels = 2.0**bits - 1
    sample = call.sample(x)
    if bits > 8 or len(sample) > 4:
        clipped = call.onnx("Clip", [x, call.scalar(0), call.scalar(1)])
        rounded = call.onnx("Round", [call.onnx("Mul", [clipped, call.scalar(levels)])])
        return call.onnx("Mul", [rounded, call.scalar(1 / levels)], name=f"{call.name}.levels")
    spatial = sample[1:] or (1,)
    if len(sample) == 1:
        x = call.onnx("Unsqueeze", [x, call.build.constant(np.array([2]), "axes")])
    ones, rank = np.ones((sample[0], 1, 1), np.bool_), len(spatial)
    attrs = LevelConvAttrs((1,) * rank, (1,) * rank, (1,) * rank, (0,) * 2 * rank, sample[0], 1, bits, "constant")
    weight = call.build.constant(pack_bits(ones), f"{call.name}.pass")
    constants = [call.build.constant(s, f"{call.name}.constant") for s in _level_steps(sample[0], 2**bits - 1)]
    y = call.build.dialect(attrs, [x, weight, *constants], name=f"{call.name}.levels")
    if len(sample) == 1:
        y = call.onnx("Squeeze", [y, call.build.constant(np.array([2]), "axes")])
    return y
