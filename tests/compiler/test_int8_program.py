"""Programs with QCONV and u8 values: written, read back, inspected, run; equal to the numpy interpreter."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from bitwright.compiler import BwmFormatError, inspect
from bitwright.compiler.bwm import encode
from bitwright.compiler.bwm_read import read
from bitwright.compiler.interpreter import run
from bitwright.compiler.planner import plan
from bitwright.compiler.program import (
    Const,
    Copy,
    DType,
    Geometry,
    Map,
    Pool,
    PoolKind,
    Program,
    QConv,
    Step,
    StepKind,
    Value,
)
from bitwright.runtime import Session


def network(seed: int = 0) -> Program:
    """Pixels, a 7x7 stem, a shared zero-filled copy, a depthwise layer, a pool, a dense head."""
    random = np.random.default_rng(seed)

    def weight(*shape: int) -> Const:
        return Const(random.integers(-128, 128, shape).astype(np.int8))

    x = Value(DType.U8, (1, 12, 11, 3), name="image", is_input=True, external_axes=(4, 2, 3), scale=0.02, zero=117)
    stem = Value(DType.U8, (1, 6, 6, 20), scale=0.125, zero=3)
    wide = Value(DType.U8, (1, 6, 6, 24), scale=0.125, zero=3)
    deep = Value(DType.U8, (1, 6, 6, 24), scale=0.0625, zero=128)
    mean = Value(DType.U8, (1, 3, 3, 24), scale=0.25, zero=0)
    y = Value(DType.F32, (1, 1, 1, 7), name="y", is_output=True, external_axes=(4,))
    z = Value(DType.F32, (1, 12, 11, 3), name="z", is_output=True, external_axes=(4, 2, 3))
    g = Geometry((1, 7, 7), (1, 2, 2), pad_begin=(0, 3, 3), pad_end=(0, 3, 3))
    scale = Const((random.random(20) * 0.002).astype(np.float32))
    steps = [Step(StepKind.AFFINE, a=scale, p1=0.5), Step(StepKind.STORE_U8, stem, p0=8.0)]
    same = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1), groups=24)
    half = Geometry((1, 2, 2), (1, 2, 2))
    ops = [
        QConv("stem", x, steps, weight=weight(20, 49, 3), out_channels=20, out=(1, 6, 6), geometry=g),
        Copy("widen", stem, dst=wide, count=(1, 6, 6, 20), dst_channel=2, zero_rest=True),
        QConv(
            "depthwise",
            wide,
            [Step(StepKind.AFFINE, p0=0.003), Step(StepKind.STORE_U8, deep, p0=16.0)],
            weight=weight(24, 9, 1),
            out_channels=24,
            out=(1, 6, 6),
            geometry=same,
        ),
        Pool(
            "mean",
            deep,
            [Step(StepKind.STORE_U8, mean, p0=4.0)],
            kind=PoolKind.AVERAGE_VALID,
            out=(1, 3, 3),
            geometry=half,
        ),
        QConv(
            "head",
            mean,
            [Step(StepKind.STORE, y)],
            weight=weight(7, 9, 24),
            out_channels=7,
            geometry=Geometry((1, 3, 3)),
        ),
        Map("pixels", x, [Step(StepKind.STORE, z)]),
    ]
    program = Program([x], [y, z], ops, {"name": "int8"})
    plan(program)
    return program


def test_round_trip() -> None:
    data = encode(network())
    assert struct.unpack_from("<2H", data, 8) == (1, 1)
    again = read(data)
    assert encode(again) == data
    assert [(v.scale, v.zero) for v in again.inputs] == [(pytest.approx(0.02), 117)]


@pytest.mark.parametrize("seed", range(4))
def test_engine_equals_the_interpreter(seed: int) -> None:
    program = network(seed)
    image = np.random.default_rng(seed + 9).integers(0, 256, (5, 3, 12, 11)).astype(np.uint8)
    expected = run(program, {"image": image})
    got = dict(zip(("y", "z"), Session(encode(program)).run(image), strict=True))
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name])
    assert np.unique(got["y"]).size > 7


def test_inspect(tmp_path: Path) -> None:
    path = tmp_path / "net.bwm"
    path.write_bytes(encode(network()))
    found = inspect(path)
    assert found.version == "1.1"
    assert found.int8_macs == 36 * 20 * 49 * 3 + 36 * 24 * 9 + 7 * 9 * 24
    assert (found.binary_macs, found.float_macs) == (0, 0)
    assert [x.precision for x in found.layers] == ["int8", "-", "int8", "-", "int8", "-"]
    assert found.bytes_by_kind["int8 weights"] == 20 * 49 * 3 + 24 * 9 + 7 * 9 * 24
    assert sum(found.bytes_by_kind.values()) == found.file_bytes
    assert found.inputs[0].dtype == "u8"
    assert "int8 MACs" in str(found)


def test_hostile_fields(tmp_path: Path) -> None:
    for change, words in (
        ({"zero": 256}, "zero point 256"),
        ({"scale": 0.0}, "scale 0.0"),
        ({"scale": float("nan")}, "scale nan"),
    ):
        program = network()
        for name, value in change.items():
            setattr(program.inputs[0], name, value)
        with pytest.raises(BwmFormatError, match=words):
            read(encode(program))
    program = network()
    program.outputs[0].zero = 1
    with pytest.raises(BwmFormatError, match="zero point 1"):
        read(encode(program))
