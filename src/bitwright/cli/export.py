"""`bitwright export`."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.cli._command import run_command


def export(ckpt_path: str, *, output: str, opset: int | None = None) -> int:
    """Freeze a checkpoint's binary layers to bits and write the network as ONNX (runs in stock onnxruntime).

    The input's preparation (mean, standard deviation) and the class names of the data set travel along in the file's
    metadata, so that `bitwright run` can take images.

    Args:
        ckpt_path: a checkpoint written by `bitwright train`.
        output: the .onnx file to write.
        opset: ONNX operator set, 18 or later; the exporter's default otherwise.
    """
    import os

    from bitwright.bench.pipeline import export_checkpoint

    path = export_checkpoint(ckpt_path, output, opset=opset)
    print(f"wrote {path} ({os.path.getsize(path):,} bytes)")
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(export, argv, "  bitwright export runs/digits_cnn/last.ckpt --output digits.onnx")
