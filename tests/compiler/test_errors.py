"""Models that cannot be compiled: one clear error that names every offending node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from bitwright.compiler import CompileError, UnsupportedModelError, build, compile

from .graphs import Builder

MAP = (6, 4, 4)
BAD: dict[str, tuple[Callable[[Builder], str], str]] = {
    "batch_in_reshape": (lambda b: b.op("Reshape", "x", b.ints(-1, 6)), "between samples"),
    "batch_transposed": (lambda b: b.op("Transpose", "x", perm=[1, 0, 2, 3]), "moves the batch axis"),
    "batch_mean": (lambda b: b.op("ReduceMean", "x", b.ints(0)), "over the batch"),
    "batch_concat": (lambda b: b.op("Concat", "x", "x", axis=0), "batch axis"),
    "batch_slice": (lambda b: b.op("Slice", "x", b.ints(0), b.ints(1), b.ints(0)), "batch axis"),
    "batch_gemm": (lambda b: b.op("Gemm", b.op("Flatten", "x"), b.const(b.normal(3, 3)), transA=1), "transA"),
    "attention": (lambda b: b.op("MatMul", "x", "x"), "attention"),
    "channel_mean": (lambda b: b.op("ReduceMean", "x", b.ints(1)), "over the channels"),
    "position": (lambda b: b.op("Add", "x", b.const(b.normal(6, 4, 4))), "between the pixels"),
    "gamma_nan": (lambda b: b.batch_norm("x", 6, gamma=np.nan), "NaN"),
    "negative_variance": (lambda b: b.batch_norm("x", 6, var=-1.0), "variance"),
    "wrong_weight": (lambda b: b.conv("x", 5, 4), "6 channels"),
    "kernel_too_large": (lambda b: b.conv("x", 6, 4, (5, 5)), "does not fit"),
    "wrong_binary_weight": (lambda b: b.bconv("x", 8, 4), "6 channels"),
    "threshold_size": (lambda b: b.bconv("x", 6, 4, threshold=np.zeros(3)), "3 elements"),
    "binary_kernel_too_large": (lambda b: b.bconv("x", 6, 4, (5, 5)), "does not fit"),
    "softmax": (lambda b: b.op("Softmax", "x"), "logits"),
    "broadcast": (lambda b: b.op("Add", "x", b.op("GlobalAveragePool", "x")), "differ in shape"),
    "pixel_shuffle": (lambda b: b.op("Reshape", "x", b.ints(0, 2, 3, 4, 4)), "splits an axis"),
    "unknown_domain": (lambda b: b.op("Thing", "x", domain="com.example"), "com.example::Thing"),
    "training": (lambda b: b.op("Dropout", "x", b.const(0.5), b.const(True, np.bool_)), "training"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    fn, text = BAD[name]
    b = Builder(MAP)
    y = b.op("Relu", fn(b))
    with pytest.raises(UnsupportedModelError) as caught:
        build(b.model(y, functions=False))
    assert text in str(caught.value)
    assert any(p.node.startswith("node_") for p in caught.value.problems)


def test_all_problems_at_once() -> None:
    b = Builder(MAP)
    y = b.op("Softmax", "x")
    y = b.op("Celu", y)
    z = b.op("Softplus", "x")
    with pytest.raises(UnsupportedModelError) as caught:
        build(b.model(b.op("Add", y, z)))
    assert [p.op for p in caught.value.problems] == ["Softmax", "Celu", "Softplus"]


def test_inputs(tmp_path: Path) -> None:
    b = Builder(MAP, dtype=TensorProto.DOUBLE)
    with pytest.raises(CompileError, match="DOUBLE"):
        build(b.model(b.op("Relu", "x")))
    b = Builder((6, "height", 4))  # type: ignore[arg-type]
    with pytest.raises(CompileError, match="only the first axis"):
        build(b.model(b.op("Relu", "x")))
    with pytest.raises(FileNotFoundError, match=r"nothing\.onnx"):
        build(tmp_path / "nothing.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"this is no model")
    with pytest.raises(CompileError, match=r"bad\.onnx"):
        build(tmp_path / "bad.onnx")
    with pytest.raises(TypeError, match="not int"):
        build(3)  # type: ignore[arg-type]


def test_a_failed_compile_leaves_no_file(tmp_path: Path) -> None:
    b = Builder(MAP)
    with pytest.raises(UnsupportedModelError):
        compile(b.model(b.op("Softmax", "x")), tmp_path / "net.bwm", native_only=True)
    assert not list(tmp_path.iterdir())


def test_dirty_tail_bits_are_refused() -> None:
    b = Builder(MAP)
    y = b.bconv("x", 6, 4)
    for t in b.constants:
        if t.data_type == TensorProto.UINT8:
            t.raw_data = b"\xff" * len(t.raw_data)
    with pytest.raises(UnsupportedModelError, match="past its 6 channels"):
        build(b.model(y))


def test_importing_the_compiler_loads_neither_torch_nor_onnx() -> None:
    code = "import sys, bitwright.compiler; assert not {'torch', 'onnx'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, bitwright.compiler as c; c.compile, c.inspect, c.verify; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
