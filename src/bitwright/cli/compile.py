"""`bitwright compile`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitwright.cli._command import run_command


def compile(
    model: str,
    *,
    output: str,
    float_layers: str = "fp32",
    residual: str = "fp32",
    calibrate: str | None = None,
    samples: int = 256,
    evaluate: int = 1000,
    data_root: str | None = None,
    input: str = "fp32",
    mean: list[float] | None = None,
    std: list[float] | None = None,
    maximum: float = 255.0,
    input_shape: list[int] | None = None,
    native_only: bool = False,
) -> int:
    """Compile a model to a .bwm file: fold batch norm into thresholds, fuse epilogues, plan memory, pack weights.

    The file computes what the model computes. With --float-layers int8 or --residual int16 it is another function,
    calibrated on samples; what changes is printed, and stays in the file for `inspect`. Nodes that the engine lacks run
    in onnxruntime; which and why is printed.

    Args:
        model: the .onnx file, or another framework's file that `bitwright import` knows.
        output: the .bwm file to write.
        float_layers: fp32, or int8: float convolutions and dense layers on u8 activations and int8 weights.
        residual: fp32, or int16: shortcut additions in 16-bit fixed point, with a proven error bound.
        calibrate: samples for int8 and int16: a .npy or .npz file of inputs as the model takes them (`labels` in the
            .npz are classes), or the name of a data set (digits, fashion, …).
        samples: so many calibrate; a file's others compare the result with fp32.
        evaluate: compare on at most so many other samples.
        data_root: where the data sets lie; the environment's BITWRIGHT_DATA otherwise.
        input: fp32 as the model takes it, or uint8: raw pixels [N, C, H, W], normalised inside the file.
        mean: of pixels scaled to 0..1, one a channel: [0.485,0.456,0.406]. Without it as the model's file says.
        std: the same.
        maximum: the pixel value that is scaled to 1.
        input_shape: of one sample, for another framework's file that does not store it: [3,224,224].
        native_only: refuse a model that needs onnxruntime for some nodes, and list them.
    """
    from bitwright import compiler
    from bitwright.cli._sources import onnx_of
    from bitwright.compiler.pixels import Pixels

    if input not in ("fp32", "uint8"):
        raise ValueError(f"--input is {input!r}; known are fp32, uint8")
    if (mean is None) != (std is None):
        raise ValueError("give both --mean and --std, or neither")
    pixels = input == "uint8"
    given: dict[str, Any] = {"uint8_input": pixels}
    if mean is not None and std is not None:
        given["pixels"] = Pixels(tuple(mean), tuple(std), maximum)
    if calibrate is not None:
        from bitwright.bench.calibration import load_calibration

        found = load_calibration(calibrate, samples, evaluate, root=data_root, pixels=pixels)
        given.update(calibration=found.calibration, evaluation=found.evaluation, labels=found.labels)
    report = compiler.compile(
        onnx_of(model, input_shape),
        output,
        name=Path(model).stem,
        float_layers=float_layers,
        residual=residual,
        native_only=native_only,
        **given,
    )
    print(report)
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        compile,
        argv,
        "  bitwright compile digits.onnx --output digits.bwm\n"
        "  bitwright compile digits.onnx --output digits8.bwm --float-layers int8 --residual int16 --calibrate digits",
    )
