"""`bitwright verify`."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from typing import Any

from bitwright.cli._command import run_command


def verify(
    onnx: str,
    bwm: str,
    *,
    ckpt_path: str | None = None,
    data: str | None = None,
    data_root: str | None = None,
    inputs: str | None = None,
    limit: int | None = None,
    batch: int = 32,
    threads: int = 1,
    kernel: str | None = None,
    json: bool = False,
) -> int:
    """Compare the engine with the reference layer by layer on real inputs, then the answers of the whole network.

    Each engine layer gets the reference's inputs. Bits and integers must be equal, floats agree to 1e-5 of the layer's
    spread; a bit may differ only if its value lies that close to the threshold. Exit status 0: it holds; 1: not.

    Args:
        onnx: the .onnx file.
        bwm: the .bwm file compiled from it.
        ckpt_path: a checkpoint: PyTorch eval is the reference instead of onnxruntime, its data set gives the inputs.
        data: name of a data set whose test images are the inputs (digits, fashion, …).
        data_root: where the data sets lie; the environment's BITWRIGHT_DATA otherwise.
        inputs: a .npy array of inputs instead (float32 or uint8, as the file wants them).
        limit: take the first so many inputs only.
        batch: samples a call.
        threads: threads of the engine.
        kernel: force a kernel or an instruction set by name.
        json: print JSON instead of tables.
    """
    import numpy as np

    from bitwright import compiler

    reference: Any = "onnxruntime"
    if ckpt_path is not None:
        import onnx as onnx_module

        from bitwright.bench.pipeline import load_trained
        from bitwright.export import TorchReference

        network, recipe, _ = load_trained(ckpt_path)
        reference = TorchReference(network, onnx_module.load(onnx))
        data = data or recipe["data"]["name"]
    if (inputs is None) == (data is None):
        raise ValueError("give the inputs: either --data NAME (or --ckpt_path) or --inputs FILE.npy")
    if inputs is not None:
        x = np.load(inputs, allow_pickle=False)[:limit]
    else:
        from bitwright.bench.pipeline import prepared_test_images

        pixels = compiler.inspect(bwm).inputs[0].dtype == "u8"
        x = prepared_test_images({"data": {"name": data}}, data_root, limit, pixels)[0].numpy()
    report = compiler.verify(onnx, bwm, x, reference=reference, threads=threads, kernel=kernel, batch=batch)
    if json:
        print(json_module.dumps(report.to_dict(), indent=2))
    else:
        print(report)
    return 0 if report.ok else 1


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        verify,
        argv,
        "  bitwright verify digits.onnx digits.bwm --data digits\n"
        "  bitwright verify digits.onnx digits.bwm --ckpt_path runs/digits_cnn/last.ckpt --threads 2",
    )
