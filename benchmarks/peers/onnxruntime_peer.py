"""onnxruntime: float and int8 (static, per channel) convolutions and networks. Inputs and outputs are bound."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, save

KINDS = {"conv fp32", "conv int8", "onnx fp32", "onnx int8"}


def _conv(task: dict[str, Any], path: Path) -> None:
    rng = np.random.default_rng(0)
    size, channels, outputs, stride = (task[k] for k in ("size", "channels", "outputs", "stride"))
    out = size // stride
    attributes = {"kernel_shape": [3, 3], "strides": [stride, stride], "pads": [1, 1, 1, 1]}
    if task["kind"] == "conv fp32":
        weight = rng.standard_normal((outputs, channels, 3, 3), dtype=np.float32)
        nodes = [helper.make_node("Conv", ["x", "w"], ["y"], **attributes)]
        constants = {"w": weight}
        dtype = TensorProto.FLOAT
    else:
        constants = {
            "w": rng.integers(-127, 128, (outputs, channels, 3, 3)).astype(np.int8),
            "xs": np.float32(0.01), "xz": np.uint8(0), "ws": np.full(outputs, 0.01, np.float32),
            "wz": np.zeros(outputs, np.int8), "ys": np.float32(1), "yz": np.uint8(128),
        }  # fmt: skip
        inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
        nodes = [helper.make_node("QLinearConv", inputs, ["y"], **attributes)]
        dtype = TensorProto.UINT8
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", dtype, [1, channels, size, size])],
        [helper.make_tensor_value_info("y", dtype, [1, outputs, out, out])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))


def _quantized(source: str, path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            rng = np.random.default_rng(1)
            self.left = [{"image": rng.standard_normal((1, 3, 224, 224), dtype=np.float32)} for _ in range(4)]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(source, str(prepared))
    quantize_static(
        str(prepared), str(path), Images(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


def make(task: dict[str, Any]) -> Callable[[], None]:
    """See tasks.py."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task["threads"]
    options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if task["kind"].startswith("conv"):
            _conv(task, path)
        elif task["kind"] == "onnx int8":
            path = Path(task.get("quantized", path))  # kept there, if named
            if not path.exists():
                _quantized(task["path"], path)
        else:
            path = Path(task["path"])
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else task.get("batch", 1) for d in given.shape]
    rng = np.random.default_rng(0)
    pixels = "uint8" in given.type
    x = rng.integers(0, 256, shape, dtype=np.uint8) if pixels else rng.standard_normal(shape, dtype=np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input(given.name, x)
    binding.bind_output(session.get_outputs()[0].name, "cpu")
    return lambda: session.run_with_iobinding(binding)
