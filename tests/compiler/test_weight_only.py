"""1-bit weights of layers with real inputs: one bit a weight in the file, ±1 floats in the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitwright.compiler import build, compile, inspect
from bitwright.compiler.bwm import encode
from bitwright.compiler.bwm_read import read
from bitwright.compiler.dialect import UnpackWeightAttrs, pack_bits
from bitwright.compiler.interpreter import run
from bitwright.compiler.program import FConv

from .graphs import Array, Builder, onnxruntime


def unpack(b: Builder, shape: tuple[int, ...]) -> str:
    """An UnpackWeight node of random bits."""
    taps = [int(np.prod(shape[2:]))] if len(shape) > 2 else []
    packed = b.const(pack_bits(b.rng.random((shape[0], *taps, shape[1])) < 0.5), np.uint8)
    b.nodes.append(UnpackWeightAttrs(shape=shape).make_node([packed], [f"w{len(b.nodes)}"], name=f"u{len(b.nodes)}"))
    return str(b.nodes[-1].output[0])


def conv(b: Builder, channels: int, outputs: int, kernel: tuple[int, ...], group: int = 1, **attrs: object) -> str:
    w = unpack(b, (outputs, channels // group, *kernel))
    y = b.op("Conv", "x", w, group=group, **attrs)
    column = (outputs, *[1] * len(kernel))
    return str(b.op("Add", b.op("Mul", y, b.const(b.normal(*column))), b.const(b.normal(*column))))


def transposed(b: Builder) -> str:
    w = unpack(b, (12, 5, 3, 2))
    return str(b.op("ConvTranspose", "x", w, group=2, strides=[2, 2], pads=[1, 0, 1, 0], output_padding=[1, 1]))


def dense(b: Builder) -> str:
    w = unpack(b, (9, 37 * 12))
    y = b.op("MatMul", b.op("Flatten", "x"), b.op("Transpose", w, perm=[1, 0]))
    return str(b.op("Mul", y, b.const(b.normal(9))))


# (input, layer, bits of a row, rows): what the file must hold
CASES = {
    "conv": ((5, 6, 6), lambda b: conv(b, 5, 7, (3, 3), pads=[1, 1, 1, 1]), 5, 7 * 9),
    "conv33": ((33, 6, 5), lambda b: conv(b, 33, 65, (3, 2), strides=[2, 1], dilations=[1, 2]), 33, 65 * 6),
    "conv64": ((64, 4, 4), lambda b: conv(b, 64, 32, (1, 1)), 64, 32),
    "groups": ((70, 5, 5), lambda b: conv(b, 70, 14, (3, 3), group=2, pads=[1, 0, 1, 0]), 35, 14 * 9),
    "depthwise": ((6, 5, 5), lambda b: conv(b, 6, 6, (3, 3), group=6), 1, 6 * 9),
    "conv1d": ((40, 9), lambda b: conv(b, 40, 8, (4,)), 40, 8 * 4),
    "conv3d": ((3, 4, 4, 5), lambda b: conv(b, 3, 4, (2, 3, 2)), 3, 4 * 12),
    "transposed": ((12, 4, 5), transposed, 6, 10 * 6),
    "linear": ((37, 3, 4), dense, 37, 9 * 12),
}


def whole_numbers(shape: tuple[int, ...]) -> Array:
    """Every order of summation gives the same floats."""
    return np.random.default_rng(3).integers(-9, 10, (3, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_one_bit_a_weight(name: str, tmp_path: Path) -> None:
    shape, layer, row, rows = CASES[name]
    b = Builder(shape)
    y = layer(b)
    model = b.model(y)
    x = whole_numbers(shape)
    (wanted,) = onnxruntime(model, x)
    for optimize in (False, True):
        data = encode(build(model, optimize=optimize))
        np.testing.assert_array_equal(run(read(data), {"x": x})[y], wanted)
        assert encode(read(data)) == data
    compile(model, tmp_path / "net.bwm")
    found = inspect(tmp_path / "net.bwm")
    assert found.bytes_by_kind["binary weights"] == rows * -(-row // 32) * 4
    assert found.bytes_by_kind["float weights"] == 0
    assert sum(found.bytes_by_kind.values()) == (tmp_path / "net.bwm").stat().st_size
    assert found.binary_weights == rows * row
    (weights,) = [x for x in found.layers if x.weight_bytes]
    assert (weights.precision, weights.binary_macs) == ("binary, real in", 0)
    assert weights.float_macs > 0
    assert "binary, real in" in str(found)
    runtime = pytest.importorskip("bitwright.runtime", reason="the native module is not built")
    np.testing.assert_array_equal(runtime.Session(tmp_path / "net.bwm").run(x), wanted)


def test_float_weights_that_are_all_one_or_minus_one_are_bits_too() -> None:
    b = Builder((40, 5, 5))
    w = np.where(b.rng.random((8, 40, 3, 3)) < 0.5, 1.0, -1.0)
    y = b.op("Conv", "x", b.const(w))
    z = b.op("Conv", "x", b.const(w * 0.5))
    program = build(b.model(y, z))
    assert [op.packed for op in program.ops if isinstance(op, FConv)] == [True, False]
    x = whole_numbers((40, 5, 5))
    got = run(read(encode(program)), {"x": x})
    for name, wanted in zip((y, z), onnxruntime(b.model(y, z), x), strict=True):
        np.testing.assert_array_equal(got[name], wanted)


def test_a_zero_keeps_floats() -> None:
    b = Builder((4, 5, 5))
    w = np.ones((8, 4, 1, 1))
    w[3, 2] = 0
    (op,) = build(b.model(b.op("Conv", "x", b.const(w)))).ops
    assert isinstance(op, FConv)
    assert not op.packed
