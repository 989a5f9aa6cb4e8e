"""OpenVINO: float and int8 convolutions, and BinaryConvolution of opset 1, which its CPU plugin still runs.

Times of single nodes come from its own profiler (1 us resolution), summed over the executed nodes that the task asks
for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset1

KINDS = {"binary conv", "binary conv packed", "conv fp32", "conv int8", "onnx fp32", "onnx int8", "binary resnet18"}

_core = ov.Core()


def _compile(model: ov.Model, threads: int, profile: bool) -> ov.CompiledModel:
    return _core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERF_COUNT": "YES" if profile else "NO",
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        },
    )


def binarize(node: Any) -> Any:
    """sign to {0, 1}, the form that BinaryConvolution takes."""
    zero, one = (opset1.constant(np.full((1, 1, 1, 1), v, np.float32)) for v in (0.0, 1.0))
    return opset1.fake_quantize(node, zero, zero, zero, one, 2)


def binary_conv(node: Any, weights: np.ndarray, stride: int) -> Any:
    """3x3 binary convolution, padding 1 with true zeros. `weights`: bits [O, C, 3, 3], C a multiple of 8."""
    bits = weights.reshape(-1, 8)[
        :, ::-1
    ]  # the kernel reads a byte from the other end than the constant's constructor writes it
    constant = ov.op.Constant(ov.Type.u1, ov.Shape(list(weights.shape)), bits.reshape(-1).tolist())
    return opset1.binary_convolution(
        node, constant, [stride, stride], [1, 1], [1, 1], [1, 1], "xnor-popcount", 0.0, "explicit"
    )


def _conv(task: dict[str, Any]) -> ov.Model:
    rng = np.random.default_rng(0)
    x = opset1.parameter([1, task["channels"], task["size"], task["size"]], np.float32)
    shape = (task["outputs"], task["channels"], 3, 3)
    stride = task["stride"]
    if task["kind"].startswith("binary"):
        # A convolution in front, so that the layer finds the float map in the plugin's own layout, as inside a network.
        square = (task["channels"], task["channels"], 3, 3)
        y = binary_conv(binarize(x), rng.integers(0, 2, square), 1)
        sign = binarize(y)
        sign.set_friendly_name("timed sign")
        y = binary_conv(sign, rng.integers(0, 2, shape), stride)
        y.set_friendly_name("timed conv")
    elif task["kind"] == "conv int8":
        low, high = (opset1.constant(np.full((1, 1, 1, 1), v, np.float32)) for v in (0.0, 2.55))
        quantized = opset1.fake_quantize(x, low, high, low, high, 256)
        w = opset1.constant(rng.integers(-127, 128, shape).astype(np.int8))
        scale = opset1.constant(np.full((shape[0], 1, 1, 1), 0.01, np.float32))
        w = opset1.multiply(opset1.convert(w, np.float32), scale)
        y = opset1.convolution(quantized, w, [stride] * 2, [1, 1], [1, 1], [1, 1])
    else:
        w = opset1.constant(rng.standard_normal(shape, dtype=np.float32))
        y = opset1.convolution(x, w, [stride] * 2, [1, 1], [1, 1], [1, 1])
    return ov.Model([y], [x], "layer")


def _seconds(request: Any, wanted: Callable[[Any], bool]) -> float:
    executed = ov.ProfilingInfo.Status.EXECUTED
    return float(sum(i.real_time.total_seconds() for i in request.profiling_info if i.status == executed and wanted(i)))


def make(task: dict[str, Any]) -> Callable[[], float | None]:
    """See tasks.py."""
    kind, threads = task["kind"], task["threads"]
    if kind.startswith("onnx") or kind == "binary resnet18":
        if kind == "binary resnet18":
            from openvino_resnet import binary_resnet18

            model = binary_resnet18()
        else:
            kept = task.get("quantized")
            made = bool(kept) and os.path.exists(kept)
            model = _core.read_model(kept if made else task["path"])
            if kind == "onnx int8" and not made:
                import nncf

                rng = np.random.default_rng(1)
                images = [rng.standard_normal((1, 3, 224, 224), dtype=np.float32) for _ in range(4)]
                model = nncf.quantize(model, nncf.Dataset(images), subset_size=4)
                if kept:
                    ov.save_model(model, kept, compress_to_fp16=False)
            if model.is_dynamic():
                model.reshape([task.get("batch", 1), 3, 224, 224])
        request = _compile(model, threads, False).create_infer_request()
        shape = [d.get_length() for d in model.input(0).partial_shape]
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        tensor = ov.Tensor(x)
        request.set_input_tensor(tensor)
        return lambda: request.infer(share_outputs=True) and None
    model = _conv(task)
    request = _compile(model, threads, True).create_infer_request()
    x = np.random.default_rng(0).standard_normal((1, task["channels"], task["size"], task["size"]), dtype=np.float32)
    request.set_input_tensor(ov.Tensor(x))
    # A reorder that the plugin inserts between two nodes carries both of their names.
    if kind == "binary conv packed":
        wanted = lambda node: "timed" in node.node_name and "Result" not in node.node_name  # noqa: E731
    elif kind == "binary conv":
        wanted = lambda node: node.node_type == "BinaryConvolution" and "timed" in node.node_name  # noqa: E731
    else:
        wanted = lambda node: node.node_type == "Convolution"  # noqa: E731

    def run() -> float:
        request.infer()
        return _seconds(request, wanted)

    return run
